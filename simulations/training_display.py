"""How far a training on public motions is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_SECONDS = 10.0
_SHOWN = 50
"""Losses of so many last steps are averaged to be shown."""


class Display:
    """Step, loss and time left, from `done` of `steps` on."""

    def __init__(self, console: Console, steps: int, done: int) -> None:
        self._console, self._steps, self._done = console, steps, done
        columns = (
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TextColumn("time left"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=steps, completed=done, loss="")
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, step: int, since: Sequence[float], curve: Sequence[Mapping[str, Any]]) -> None:
        loss = _text(since, curve)
        self._bar.update(self._task, completed=step, loss=loss)
        now = time.monotonic()
        if self._console.is_terminal or (now - self._told < _LINE_SECONDS and step < self._steps):
            return
        left = (now - self._began) / (step - self._done) * (self._steps - step)
        self._told = now
        self._console.print(f"step {step} / {self._steps}, {loss}, time left {left:.0f} s", soft_wrap=True)


def _text(since: Sequence[float], curve: Sequence[Mapping[str, Any]]) -> str:
    last = list(since[-_SHOWN:])
    loss = sum(last) / len(last) if last else (curve[-1]["loss"] if curve else float("nan"))
    return f"loss {loss:.4f}" + (
        f", held out {curve[-1]['held_out']:.4f}" if curve and "held_out" in curve[-1] else ""
    )
