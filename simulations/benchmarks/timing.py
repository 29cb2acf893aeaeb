"""Medians of CPU time, interleaved so that a busy machine slows all contenders alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def medians(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each contender over `repeats` interleaved calls, after one warm-up."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, call in contenders.items():
            start = time.process_time()
            call()
            if turn > 0:
                spent[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in spent.items()}
