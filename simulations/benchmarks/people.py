"""How fast procedural people are made: motions a second by action, and a whole set of them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from rich.table import Table

from common.motion.population import ACTIONS, PRIVATE, PRIVATE_ALL, Population, synthesise
from common.motion.virtual_sensors import MOUNTS, sense

_CROWD = 256
_PEOPLE, _MOTIONS = 10_000, 4
_RATES = {"61 frames at 20 fps": (61, 20.0), "183 frames at 60 fps": (183, 60.0)}


def table() -> Table:
    """Motions a CPU second by action; then CPU seconds for 10,000 people x 4."""
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
        start = time.process_time()
        deque(synthesise(population, 0, range(_PEOPLE), _MOTIONS), maxlen=0)
        result.add_row(f"{_PEOPLE:,} people x {_MOTIONS}, {name}", f"{time.process_time() - start:.0f} s", "")
    return result


def _per_second(population: Population, frames: int, rate: float) -> float:
    start = time.process_time()
    deque(synthesise(population, 0, range(_CROWD), 1, frames, rate), maxlen=0)
    return _CROWD / (time.process_time() - start)
