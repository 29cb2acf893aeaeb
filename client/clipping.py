"""The clipped sum over units of per-unit gradients: the whole of the sensitivity bound.

Formal guarantee: adding or removing one unit changes the returned sum by a vector of
L2 norm at most C, whatever the method computes: every row is scaled to norm at most
C (1 - 1e-6), and a row that raises or is not finite is the zero vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, vmap

from common.method import GradientMethod
from common.vector import Layout, Vector

_MARGIN = 1 - 1e-6
_EXHAUSTED = ("can't allocate memory", "not enough memory", "CUDA", "cuBLAS", "CUBLAS")

Rows = Callable[[Sequence[int]], Tensor]
"""Units to their contributions `[units, dimension]`; it may raise."""


@dataclass(frozen=True, kw_only=True)
class Chunking:
    """A speed setting: how many units are computed at once. It cannot change a guarantee."""

    units: int = 64


def clip_rows(rows: Tensor, clip_norm: float) -> Tensor:
    """Scale each row of `[units, dimension]` (float32 or narrower) to norm at most C (1 - 1e-6).

    Norms are taken in float64, where squares of float32 values cannot overflow; a row
    with any value that is not finite becomes zero by selection (0 x NaN is NaN).
    """
    rows = rows.to(torch.float32)
    norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64)
    finite = torch.isfinite(norm)
    factor = torch.clamp(clip_norm * _MARGIN / norm.clamp_min(torch.finfo(torch.float64).tiny), max=1.0)
    wide = torch.where(finite, rows, 0.0).to(torch.float64)
    return wide * torch.where(finite, factor, 0.0)


def clipped_sum(
    rows: Rows, units: Sequence[int], dimension: int, clip_norm: float, chunking: Chunking
) -> Vector:
    """Sum of the clipped contributions of `units`, `[dimension]` float64 on the CPU.

    Every call of `rows` gets the same number of units (the last chunk is filled with
    repeats that are then dropped), so that shapes do not depend on who was drawn.
    """
    total = torch.zeros(dimension, dtype=torch.float64)
    for start in range(0, len(units), chunking.units):
        part = list(units[start : start + chunking.units])
        clipped = clip_rows(_isolated(rows, part, dimension, chunking.units), clip_norm)
        total += clipped.sum(dim=0).cpu()
    return total


def _isolated(rows: Rows, part: list[int], dimension: int, width: int) -> Tensor:
    """Contributions of `part`; where they raise together, each alone, and only the culprits are zero."""
    try:
        return _filled(rows, part, dimension, width)
    except Exception as error:
        if _exhausted(error):
            raise
        return torch.cat([_alone(rows, unit, dimension, width) for unit in part])


def _alone(rows: Rows, unit: int, dimension: int, width: int) -> Tensor:
    try:
        return _filled(rows, [unit], dimension, width)
    except Exception as error:
        if _exhausted(error):
            raise
        return torch.zeros(1, dimension)


def _exhausted(error: Exception) -> bool:
    """Whether the machine failed, not a unit: who else is in the chunk must not decide whose row is zero."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _EXHAUSTED)


def _filled(rows: Rows, part: list[int], dimension: int, width: int) -> Tensor:
    found = rows([*part, *[part[0]] * (width - len(part))])
    if found.shape != (width, dimension):  # would broadcast into the sum, past the bound
        raise ValueError(f"contributions are {tuple(found.shape)}, not {(width, dimension)}")
    return found[: len(part)]


def per_unit_gradients(
    method: GradientMethod, parameters: Mapping[str, Tensor]
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """A function from `examples` (leading axis `[units]`) to gradients `[units, dimension]`.

    Each unit's gradient is that of its own loss, by vmap over units of one.
    """
    layout = Layout.of(parameters)

    def alone(values: Mapping[str, Tensor], example: Mapping[str, Tensor]) -> Tensor:
        return method.loss(values, {name: part[None] for name, part in example.items()}).sum()

    gradients = vmap(grad(alone), in_dims=(None, 0))

    def rows(examples: Mapping[str, Tensor]) -> Tensor:
        by_name = gradients(parameters, examples)
        return torch.cat([by_name[name].flatten(start_dim=1) for name in layout.names], dim=1)

    return rows
