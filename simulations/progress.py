"""A live table of a run: it reads what the coordinator writes, whichever process that runs in."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from common.query import Plan
from server.rounds import METRICS

_INTERVAL = 0.25


class Progress:
    """The table's content: the last row of `metrics.jsonl`, and the time that is left."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._path = folder / METRICS
        self._plan = plan
        self._started: tuple[float, int] | None = None

    def table(self) -> Table:
        row = last_row(self._path)
        done = int(row["round"])
        now = time.monotonic()
        if self._started is None:
            self._started = (now, done)
        since, first = self._started
        left = (now - since) / (done - first) * (self._plan.rounds - done) if done > first else math.nan
        table = Table(expand=False)
        for name in ("round", "", "sites", "epsilon spent", "epsilon left", "time left"):
            table.add_column(name)
        table.add_row(
            f"{done} / {self._plan.rounds}",
            ProgressBar(total=self._plan.rounds, completed=done, width=24),
            str(row["sites"]),
            _number(row["epsilon"]),
            _number(row["epsilon_left"]),
            "" if math.isnan(left) else f"{left:.0f} s",
        )
        table.caption = (
            f"delta {self._plan.delta:.3g}, unit {self._plan.unit}, add or remove one,"
            f" PLD accountant, trust {self._plan.trust}"
        )
        return table


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
    """Show the table while the body runs; on something that is no terminal, only the last state."""
    progress = Progress(folder, plan)
    if not console.is_terminal:
        yield
        if not console.quiet:
            console.print(progress.table())
        return
    ended = threading.Event()
    with Live(progress.table(), console=console, auto_refresh=False) as live:

        def follow() -> None:
            while not ended.wait(_INTERVAL):
                live.update(progress.table(), refresh=True)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            live.update(progress.table(), refresh=True)
