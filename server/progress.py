"""A live table of a run: it reads what the coordinator writes, whichever process that runs in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from common.accounting import ACCOUNTANT, epsilon
from common.errors import InputError
from common.event import NEIGHBOURING
from common.plan import Plan
from common.storage import read_json
from server.rounds import METRICS
from server.status import STATUS

_TABLE_SECONDS = 0.25
_LINE_SECONDS = 10.0
_FEWEST_DIGITS = 0.01


class Progress:
    """The last row of `metrics.jsonl`, and the time that is left, as a table or as a line."""

    def __init__(self, folder: Path, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._plan = plan
        self._clock = clock
        self._before = int(last_row(self._folder, self._plan)["round"])
        self._first: tuple[float, int] | None = None

    def cells(self) -> tuple[int, dict[str, str]]:
        """Rounds done, and what is said about them, by title; no epsilon where it is no claim."""
        row = last_row(self._folder, self._plan)
        done = int(row["round"])
        cells = {"round": f"{done} / {self._plan.rounds}", "sites": str(row["sites"])}
        if self._plan.warning is None:
            cells |= {
                "epsilon spent": readable(row["epsilon"]),
                "epsilon left": readable(row["epsilon_left"]),
            }
        return done, {**cells, "time left": self._time_left(done), **self._work()}

    def _work(self) -> dict[str, str]:
        """What the coordinator itself is at, where that takes long: what is fitted to a release, say."""
        try:
            told = read_json(self._folder / STATUS)
        except InputError:
            return {}
        return {"now": told["work"]} if "work" in told else {}

    def _time_left(self, done: int) -> str:
        """From the rounds after the first that was seen to end: that one also reads people."""
        if done > self._before and self._first is None:
            self._first = self._clock(), done
        if self._first is None or done == self._first[1]:
            return "" if done < self._plan.rounds else "0 s"
        since, first = self._first
        return f"{(self._clock() - since) / (done - first) * (self._plan.rounds - done):.0f} s"

    def table(self) -> Group:
        done, cells = self.cells()
        table = Table(expand=False)
        table.add_column("")
        for title in cells:
            table.add_column(title)
        table.add_row(ProgressBar(total=self._plan.rounds, completed=done, width=20), *cells.values())
        terms = Text(self.terms(), style="dim" if self._plan.warning is None else "bold red")
        return Group(table, terms, Text())  # on a free line the ^C that a terminal echoes moves nothing

    def line(self) -> str:
        return ", ".join(f"{title} {text}" for title, text in self.cells()[1].items() if text)

    def terms(self) -> str:
        """What every epsilon here stands under, or that there is none that holds."""
        plan = self._plan
        if plan.warning is not None:
            return plan.warning
        return f"delta {plan.delta:.3g}, unit {plan.unit}, {NEIGHBOURING}, {ACCOUNTANT}, trust {plan.trust}"


def last_row(folder: Path, plan: Plan) -> dict[str, Any]:
    """The last whole row of `metrics.jsonl`; before the first, what the plan has to spend."""
    try:
        lines = (folder / METRICS).read_bytes().split(b"\n")[:-1]
    except OSError:
        lines = []
    if lines:
        row: dict[str, Any] = json.loads(lines[-1])
        return row
    claim = epsilon([plan.reserved()], plan.delta)
    return {"round": 0, "sites": "", "epsilon": 0.0, "epsilon_left": claim}


def readable(value: float) -> str:
    """Three decimals, or as many digits where there would be nothing but zeros."""
    return f"{value:.3f}" if value == 0 or value >= _FEWEST_DIGITS else f"{value:.2g}"


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
    told = [""]

    def news() -> None:
        if (line := progress.line()) != told[0]:
            told[0] = line
            console.print(line, soft_wrap=True)

    with _repeating(news, _LINE_SECONDS):
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
