"""A live table of a run: it reads what the coordinator writes, whichever process that runs in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from common.accounting import ACCOUNTANT
from common.query import NEIGHBOURING, Plan
from server.rounds import METRICS

_TABLE_SECONDS = 0.25
_LINE_SECONDS = 10.0


class Progress:
    """The last row of `metrics.jsonl`, and the time that is left, as a table or as a line."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._path = folder / METRICS
        self._plan = plan
        self._started = time.monotonic(), int(last_row(self._path)["round"])

    def cells(self) -> tuple[int, dict[str, str]]:
        """Rounds done, and what is said about them, by title."""
        row = last_row(self._path)
        done = int(row["round"])
        return done, {
            "round": f"{done} / {self._plan.rounds}",
            "sites": str(row["sites"]),
            "epsilon spent": _number(row["epsilon"]),
            "epsilon left": _number(row["epsilon_left"]),
            "time left": self._time_left(done),
        }

    def _time_left(self, done: int) -> str:
        since, first = self._started
        if done == first:
            return ""
        return f"{(time.monotonic() - since) / (done - first) * (self._plan.rounds - done):.0f} s"

    def table(self) -> Table:
        done, cells = self.cells()
        table = Table(expand=False, caption=self.terms())
        table.add_column("")
        for title in cells:
            table.add_column(title)
        table.add_row(ProgressBar(total=self._plan.rounds, completed=done, width=20), *cells.values())
        return table

    def line(self) -> str:
        return ", ".join(f"{title} {text}" for title, text in self.cells()[1].items() if text)

    def terms(self) -> str:
        """What every epsilon here stands under."""
        plan = self._plan
        return f"delta {plan.delta:.3g}, unit {plan.unit}, {NEIGHBOURING}, {ACCOUNTANT}, trust {plan.trust}"


def last_row(path: Path) -> dict[str, Any]:
    """The last whole row, or a row of zeros before the first."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        lines = []
    return json.loads(lines[-1]) if lines else {"round": 0, "sites": "", "epsilon": 0.0, "epsilon_left": ""}


def _number(value: float | str | None) -> str:
    if value is None:
        return "infinite"
    return value if isinstance(value, str) else f"{value:.3f}"


@contextmanager
def shown(console: Console, folder: Path, plan: Plan) -> Iterator[None]:
    """Show the table while the body runs; on what is no terminal, a line now and then."""
    progress = Progress(folder, plan)
    if console.is_terminal:
        with Live(progress.table(), console=console, auto_refresh=False) as live:
            with _repeating(lambda: live.update(progress.table(), refresh=True), _TABLE_SECONDS):
                yield
            live.update(progress.table(), refresh=True)
        return
    console.print(progress.terms(), soft_wrap=True)
    with _repeating(lambda: console.print(progress.line(), soft_wrap=True), _LINE_SECONDS):
        yield
    console.print(progress.line(), soft_wrap=True)


@contextmanager
def _repeating(action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Do `action` every so many seconds while the body runs."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
