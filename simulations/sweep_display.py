"""How far a sweep is: a bar on a terminal, a line for each cell that ends elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from simulations.workers import Standing


class Display:
    """Of `cells`, `done` were done before; the time left follows from how fast others ended since."""

    def __init__(
        self,
        console: Console,
        *,
        cells: int,
        done: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._cells, self._before = console, cells, done
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
        # It draws when it is told, without a thread of its own: cells are forked from this process.
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, auto_refresh=False)
        self._task = self._bar.add_task("", total=cells, completed=done, state="")
        self._clock, self._began, self._told = clock, clock(), 0

    def __enter__(self) -> Self:
        self._bar.start()
        if self._before:
            self._console.print(f"{self._before} of {self._cells} cells were done before", soft_wrap=True)
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def show(self, standing: Standing) -> None:
        ended = standing.ended
        self._bar.update(self._task, completed=self._before + len(ended), state=self.state(standing))
        self._bar.refresh()
        for name in list(ended)[self._told :]:
            reason = ended[name]
            word = f"failed: {reason}" if reason else "done"
            if reason or not self._console.is_terminal:
                line = f"{name} {word}; {self.state(standing)}"
                self._console.print(line, soft_wrap=True, markup=False)
        self._told = len(ended)

    def state(self, standing: Standing) -> str:
        """Cells done, running and failed, and the seconds that the rest may take."""
        failed = sum(bool(reason) for reason in standing.ended.values())
        done = self._before + len(standing.ended) - failed
        words = [f"{done} of {self._cells} done", f"{len(standing.running)} running"]
        words += [f"{failed} failed"] if failed else []
        left = self._cells - self._before - len(standing.ended)
        if standing.ended and left:
            each = (self._clock() - self._began) / len(standing.ended)
            words.append(f"about {duration(each * left)} left")
        return ", ".join(words)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
