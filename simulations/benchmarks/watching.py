"""What a run costs as it goes: when its rounds end, what its processes hold."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import FedmotionError
from simulations.benchmarks.counting import Counter

_LOOK = 0.02
_WEIGH = 25
"""Looks between two of the processes' memory: reading /proc costs more than reading a file."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Median seconds of a round, median bytes up and down, peak MiB of the process that aggregates."""

    seconds: float
    fastest: float
    slowest: float
    up: int | None = None
    down: int | None = None
    memory: int

    @classmethod
    def of(cls, ends: list[float], memory: int, counter: Counter | None = None) -> Cost:
        """From the times at which rounds ended; the first round, which warms everything up, is left out."""
        spans = [later - sooner for sooner, later in itertools.pairwise(ends)]
        moved = [(0, 0)] if counter is None else [counter.until(end) for end in ends]
        up, down = (
            [later[way] - sooner[way] for sooner, later in itertools.pairwise(moved)]
            for way in (0, 1)
        )
        return cls(
            seconds=statistics.median(spans),
            fastest=min(spans),
            slowest=max(spans),
            up=round(statistics.median(up)) if up else None,
            down=round(statistics.median(down)) if down else None,
            memory=memory,
        )


def watch(
    lines: Path, rounds: int, weighed: str, home: Path, alive: Callable[[], bool], patience: float
) -> tuple[list[float], int]:
    """(when each of `rounds` lines was there, peak MiB of the processes that run `weighed` in `home`)."""
    ends: list[float] = []
    memory, looks = 0, 0
    deadline = time.monotonic() + patience
    while len(ends) < rounds:
        done = lines.read_bytes().count(b"\n") if lines.exists() else 0
        ends += [time.monotonic()] * (done - len(ends))
        if looks % _WEIGH == 0:
            memory = max(memory, peak(weighed, home))
        looks += 1
        if time.monotonic() > deadline or not (alive() or done >= rounds):
            raise FedmotionError(f"{done} of {rounds} rounds were done: see {home}")
        time.sleep(_LOOK)
    return ends, max(memory, peak(weighed, home))


def peak(command: str, home: Path) -> int:
    """The most MiB that one process with `command` in its command line and `home` in its folder or
    environment has held."""
    found = [0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if command.encode() not in (process / "cmdline").read_bytes():
                continue
            where = (process / "environ").read_bytes() + bytes((process / "cwd").resolve())
            status = (process / "status").read_text()
        except OSError:  # it ended, or is not ours
            continue
        if str(home).encode() in where:
            found += [int(row.split()[1]) // 1024 for row in status.splitlines() if row.startswith("VmHWM")]
    return max(found)
