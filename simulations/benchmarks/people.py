"""How fast procedural people are made: motions a second by action, and a whole set of them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from rich.table import Table

from common.motion.population import ACTIONS, PRIVATE, PRIVATE_ALL, Population, synthesise
from common.motion.virtual_sensors import MOUNTS, sense

_CROWD = 256
_PEOPLE, _MOTIONS = 10_000, 4
_RATES = {"61 frames at 20 fps": (61, 20.0), "183 frames at 60 fps": (183, 60.0)}


def table() -> Table:
    """Motions a CPU second by action; then seconds for 10,000 people x 4 motions."""
    result = Table(title="procedural people: 3 s motions a second, one thread")
    result.add_column("made")
    for name in _RATES:
        result.add_column(name, justify="right")
    for action in ACTIONS:
        population = replace(PRIVATE_ALL, actions=(action,))
        result.add_row(action, *(f"{_per_second(population, *size):,.0f}" for size in _RATES.values()))
    for mount in MOUNTS:
        start = time.process_time()
        deque(sense(PRIVATE_ALL, 0, range(_CROWD // 2), mount), maxlen=0)
        speed = 4 * (_CROWD // 2) / (time.process_time() - start)
        result.add_row(f"{mount}, made at 60 fps", "", f"{speed:,.0f}")
    for name, population in (("six actions", PRIVATE), ("all actions", PRIVATE_ALL)):
        for processes in (1, 2):
            clock, busiest = _whole(population, processes)
            title = f"{_PEOPLE:,} people x {_MOTIONS}, {name}, processes: {processes}"
            result.add_row(title, f"{clock:.0f} s ({busiest:.0f} s of CPU)", "")
    return result


def _per_second(population: Population, frames: int, rate: float) -> float:
    start = time.process_time()
    deque(synthesise(population, 0, range(_CROWD), 1, frames, rate), maxlen=0)
    return _CROWD / (time.process_time() - start)


def _make(population: Population, first: int, last: int) -> float:
    """CPU seconds for these people's motions."""
    start = time.process_time()
    deque(synthesise(population, 0, range(first, last), _MOTIONS), maxlen=0)
    return time.process_time() - start


def _whole(population: Population, processes: int) -> tuple[float, float]:
    """Seconds by the clock, and CPU seconds of the busiest process, with the people shared out evenly."""
    start = time.perf_counter()
    part = _PEOPLE // processes
    spans = [(k * part, (k + 1) * part) for k in range(processes)]
    if processes == 1:
        spent = [_make(population, *spans[0])]
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            spent = [job.result() for job in [pool.submit(_make, population, *span) for span in spans]]
    return time.perf_counter() - start, max(spent)
