"""What a run costs as it goes: when its rounds end, what its processes hold."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import FedmotionError
from simulations.benchmarks.counting import Counter

_LOOK = 0.02
_WEIGH = 25
"""Looks between two of the processes' memory: reading /proc costs more than reading a file."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a round the median of seconds, bytes up and down and CPU seconds of all processes together; peak MiB
    of the process that aggregates."""

    seconds: float
    fastest: float
    slowest: float
    up: int | None = None
    down: int | None = None
    memory: int
    work: float

    @classmethod
    def of(cls, seen: Seen, counter: Counter | None = None) -> Cost:
        """The first round, which warms everything up, is left out."""
        ends = seen.ends
        spans = [later - sooner for sooner, later in itertools.pairwise(ends)]
        moved = [(0, 0)] if counter is None else [counter.until(end) for end in ends]
        up, down = (
            [later[way] - sooner[way] for sooner, later in itertools.pairwise(moved)] for way in (0, 1)
        )
        return cls(
            seconds=statistics.median(spans),
            fastest=min(spans),
            slowest=max(spans),
            up=round(statistics.median(up)) if up else None,
            down=round(statistics.median(down)) if down else None,
            memory=seen.memory,
            work=statistics.median(b - a for a, b in itertools.pairwise(seen.work)),
        )


@dataclass(frozen=True)
class Seen:
    """Of each round when it ended and the CPU seconds spent until then; peak MiB of the watched process."""

    ends: list[float]
    work: list[float]
    memory: int


def watch(
    lines: Path, rounds: int, weighed: str, home: Path, alive: Callable[[], bool], patience: float
) -> Seen:
    """Until `rounds` lines are there; `weighed` is in the command line of the process that is weighed."""
    ends: list[float] = []
    spent: list[float] = []
    memory, looks = 0, 0
    deadline = time.monotonic() + patience
    while len(ends) < rounds:
        done = lines.read_bytes().count(b"\n") if lines.exists() else 0
        if done > len(ends):
            ends += [time.monotonic()] * (done - len(ends))
            spent += [work(home)] * (done - len(spent))
        if looks % _WEIGH == 0:
            memory = max(memory, peak(weighed, home))
        looks += 1
        if time.monotonic() > deadline or not (alive() or done >= rounds):
            raise FedmotionError(f"{done} of {rounds} rounds were done: see {home}")
        time.sleep(_LOOK)
    return Seen(ends, spent, max(memory, peak(weighed, home)))


def peak(command: str, home: Path) -> int:
    """The most MiB that one process with `command` in its command line and `home` in its folder or
    environment has held."""
    found = [0]
    for process in _of(home):
        try:
            if command.encode() in (process / "cmdline").read_bytes():
                status = (process / "status").read_text().splitlines()
                found += [int(row.split()[1]) // 1024 for row in status if row.startswith("VmHWM")]
        except OSError:  # it ended
            continue
    return max(found)


def work(home: Path) -> float:
    """CPU seconds of all processes of `home`, of those that ended under them as well."""
    ours = {process.name for process in _of(home)}
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            facts = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if process.name in ours or (facts[0] == "Z" and facts[1] in ours):
            ticks += sum(map(int, facts[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _of(home: Path) -> Iterator[Path]:
    """Processes that have `home` in their environment, their folder or their command line."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "environ").read_bytes() + bytes((process / "cwd").resolve())
            where += (process / "cmdline").read_bytes()
        except OSError:  # it ended, or is not ours
            continue
        if str(home).encode() in where and process.name != str(os.getpid()):
            yield process
