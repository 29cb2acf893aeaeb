"""Contributions that are simply given, and what the gate's clip makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from client.clipping.bound import Contributions, Rows, clip_factors


def written(values: Tensor) -> Callable[[Sequence[int]], Rows]:
    """Unit u contributes row u of `values`."""
    return lambda units: Rows([values[list(units)]])


def rows_of(found: Contributions, units: int) -> Tensor:
    """All contributions written out, `[units, dimension]`."""
    return torch.stack([found.row(unit) for unit in range(units)])


def clip_rows(values: Tensor, clip_norm: float) -> Tensor:
    """What each row of `values` adds to a clipped sum, in float64."""
    factors = clip_factors(Rows([values]).norms(), clip_norm)[:, None]
    return torch.where(factors == 0, 0.0, values.to(torch.float64)) * factors
