"""Noise from the operating system's entropy against generators that must not be used for privacy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from rich.table import Table

from common.discrete_gaussian import DiscreteGaussian
from common.noise import Source, Stream, gaussian
from simulations.benchmarks.timing import medians

_COUNT = 1_000_000
_REPEATS = 7
_STDS = (4, 64, 1000, 100_000)


def table() -> Table:
    """Million values a CPU second, float64 or int64, one thread."""
    spent = medians({**_continuous(), **_discrete()}, _REPEATS)
    result = Table(title="noise: million values a CPU second, one thread")
    result.add_column("source")
    result.add_column("values", justify="right")
    for name, seconds in spent.items():
        result.add_row(name, f"{_COUNT / seconds / 1e6:.1f}")
    return result


def _continuous() -> dict[str, Callable[[], object]]:
    return {
        "torch.randn (not for privacy)": lambda: torch.randn(_COUNT, dtype=torch.float64),
        "ChaCha20, Box and Muller": lambda: Stream(Source().key("noise")).normal(_COUNT),
        "ours: sum of four of them": lambda: gaussian(Stream(Source().key("noise")), 1.0, _COUNT),
    }


def _discrete() -> dict[str, Callable[[], object]]:
    """Ours, its tables made beforehand, and numpy's Skellam noise of the same variance."""
    random = np.random.default_rng(0)

    def skellam(std: int) -> Callable[[], object]:
        return lambda: random.poisson(std**2 / 2, _COUNT) - random.poisson(std**2 / 2, _COUNT)

    def ours(std: int) -> Callable[[], object]:
        source = DiscreteGaussian(std**2)
        return lambda: source.draw(Stream(Source().key("noise")), _COUNT)

    found: dict[str, Callable[[], object]] = {}
    for std in _STDS:
        found[f"numpy Skellam, deviation {std:,} (not for privacy)"] = skellam(std)
        found[f"ours: discrete Gaussian, deviation {std:,}"] = ours(std)
    return found
