"""Noise from the operating system's entropy against torch's generator, which must not be used for privacy."""

from __future__ import annotations

import torch
from rich.table import Table

from common.noise import Source, Stream, gaussian
from simulations.benchmarks.timing import medians

_COUNT = 1_000_000
_REPEATS = 7


def table() -> Table:
    """Million values a CPU second, float64, one thread."""
    contenders = {
        "torch.randn (not for privacy)": lambda: torch.randn(_COUNT, dtype=torch.float64),
        "ChaCha20, Box and Muller": lambda: Stream(Source().key("noise")).normal(_COUNT),
        "ours: sum of four of them": lambda: gaussian(Stream(Source().key("noise")), 1.0, _COUNT),
    }
    spent = medians(contenders, _REPEATS)
    result = Table(title="noise: million values a CPU second, one thread")
    result.add_column("source")
    result.add_column("values", justify="right")
    for name, seconds in spent.items():
        result.add_row(name, f"{_COUNT / seconds / 1e6:.1f}")
    return result
