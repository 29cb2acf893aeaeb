"""The clipped sum over units in whole numbers: what secure aggregation adds noise and masks to.

Formal guarantee: adding or removing one unit changes the returned sum by a vector of L2 norm at most
C x scale. Each row is clipped, rounded toward zero and its norm verified in whole numbers; one that
raises, is not finite or does not verify is the zero vector. Whole numbers add exactly, so that the sum
is the same to the bit in any order and in any chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from client.clipping.bound import Compute, Contributions, Rows, clip_factors, clipped
from common.integer_noise import Within, toward_zero

_BLOCK = 2**18  # values held as whole numbers at once: small enough for the cache


def integer_sum(
    compute: Compute,
    units: Sequence[int],
    dimension: int,
    clip_norm: float,
    scale: int,
    widths: Sequence[int],
    device: str = "cpu",
) -> Tensor:
    """Sum of the clipped contributions of `units` x `scale`, `[dimension]` int64 on the CPU."""
    total = torch.zeros(dimension, dtype=torch.int64, device=device)
    for found, factors in clipped(compute, units, dimension, clip_norm, widths):
        for rows, own in _written(found, factors, clip_norm):
            _add(rows, own, clip_norm, scale, total)
    return total.cpu()


def _written(
    found: Contributions, factors: Tensor, clip_norm: float
) -> Iterator[tuple[Sequence[Tensor], Tensor]]:
    """The rows of `found` in parts `[units, width]`, with the factors that clip them.

    An engine that does not write rows out is asked for one after the other; a row is then clipped by
    its own norm, since what it rounds to is not what its engine took the norm of.
    """
    if isinstance(found, Rows):
        yield found.parts, factors
        return
    for unit in torch.nonzero(factors).flatten().tolist():
        rows = Rows([found.row(unit)[None]])
        yield rows.parts, clip_factors(rows.norms(), clip_norm)


def _add(parts: Sequence[Tensor], factors: Tensor, clip_norm: float, scale: int, total: Tensor) -> None:
    """Add to `total` the rows that verify: all at once, or without those that turn out not to."""
    kept = factors != 0
    within = Within(math.floor(clip_norm * scale))
    added = torch.zeros_like(total)
    for place, rows in _rounded(parts, factors, kept, scale, added):
        within.add(rows)
        place += rows.sum(dim=0)
    found = within.found()
    if not bool(found.all()):
        added.zero_()
        for place, rows in _rounded(parts, factors, kept & found, scale, added):
            place += rows.sum(dim=0)
    total += added


def _rounded(
    parts: Sequence[Tensor], factors: Tensor, kept: Tensor, scale: int, total: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """A place of `total` with its columns of the `kept` rows in whole numbers; other rows are zeros."""
    for whole, part in zip(total.split([part.shape[1] for part in parts]), parts, strict=True):
        width = max(1, _BLOCK // max(1, len(part)))
        for place, block in zip(whole.split(width), part.split(width, dim=1), strict=True):
            clipped_block = torch.where(kept[:, None], block.to(torch.float64), 0.0) * factors[:, None]
            yield place, toward_zero(clipped_block, scale)
