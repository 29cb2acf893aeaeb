"""The clipped sum over units: the whole of the sensitivity bound.

Formal guarantee: adding or removing one unit changes the returned sum by a vector of
L2 norm at most C, whatever the method computes and whichever engine computes it: every
contribution is scaled by its own norm to at most C (1 - 1e-6), and one that raises or
is not finite is the zero vector. A parameter that an engine left out would be missing
from the sum as well as from the norm, so that this rests on no engine being complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from common.vector import Vector

MARGIN = 1 - 1e-6
_BLOCK = 2**18  # values held in float64 at once: small enough for the cache
_RUN = 1024
_EXHAUSTED = ("can't allocate memory", "not enough memory", "CUDA", "cuBLAS", "CUBLAS")


class Contributions(Protocol):
    """What some units contribute, each one's vector perhaps never written out."""

    @property
    def dimension(self) -> int:
        """Length of a contribution."""

    def row(self, unit: int) -> Vector:
        """One unit's contribution written out, `[dimension]`, for checks."""

    def norms(self) -> Tensor:
        """`[units]` float64, never below the norms of what `add` adds; not finite where a value is not."""

    def add(self, factors: Tensor, total: Vector) -> None:
        """Add the sum of `factors` `[units]` times contributions to `total` `[dimension]`, both float64.

        A unit with factor 0 is left out by selection (0 x NaN is NaN).
        """


@dataclass(frozen=True, eq=False)
class Rows:
    """Contributions written out, in parts `[units, width]` that side by side make `[units, dimension]`.

    They are spent by `add`.
    """

    parts: Sequence[Tensor]

    @property
    def dimension(self) -> int:
        return sum(part.shape[1] for part in self.parts)

    def row(self, unit: int) -> Vector:
        return torch.cat([part[unit] for part in self.parts])

    def norms(self) -> Tensor:
        return joined_norms([norm_bound(part) for part in self.parts])

    def add(self, factors: Tensor, total: Vector) -> None:
        excluded = factors == 0
        some = bool(excluded.any())
        for whole, part in zip(total.split([p.shape[1] for p in self.parts]), self.parts, strict=True):
            if some:
                part[excluded] = 0.0
            width = max(1, _BLOCK // max(1, len(part)))
            for place, block in zip(whole.split(width), part.split(width, dim=1), strict=True):
                place += factors @ block.to(torch.float64)


def joined_norms(norms: Sequence[Tensor]) -> Tensor:
    """Norms `[units]` of vectors whose parts have `norms`.

    One part after the other: a reduction would add them in an order that depends on how many units
    there are, which public probes notice only by luck.
    """
    squares = norms[0].square()
    for norm in norms[1:]:
        squares = squares + norm.square()
    return squares.sqrt()


def norm_bound(part: Tensor) -> Tensor:
    """For each row of `[units, width]` a number `[units]` float64 from its norm to 1.0002 times that.

    Runs of 1,024 squares are summed in the row's own precision, whose error is at most
    one unit in the last place for each, and the runs in float64; squares too small for
    the format are covered by a constant, and where one overflows all is done in float64.
    """
    part = part if part.dtype in (torch.float32, torch.float64) else part.to(torch.float32)
    width, limits = part.shape[1], torch.finfo(part.dtype)
    whole = width - width % _RUN
    norms = torch.linalg.vector_norm(part[:, whole:], dim=1, keepdim=True)
    if whole:
        runs = torch.linalg.vector_norm(part[:, :whole].unflatten(1, (-1, _RUN)), dim=2)
        norms = torch.cat([runs, norms], dim=1)
    norm = torch.linalg.vector_norm(norms.to(torch.float64), dim=1)
    bound: Tensor = norm * (1 + (_RUN + 8) * limits.eps) + (width * limits.tiny) ** 0.5
    fits = torch.isfinite(bound)
    if part.dtype == torch.float64 or bool(fits.all()):
        return bound
    return torch.where(fits, bound, norm_bound(part.to(torch.float64)))  # nobody else's bound moves


Compute = Callable[[Sequence[int]], Contributions]
"""Units to their contributions, of which it may spoil the last ones it gave; it may raise."""


def clip_factors(norms: Tensor, clip_norm: float) -> Tensor:
    """What scales each contribution to norm at most C (1 - 1e-6), `[units]`; 0 where a norm is not finite."""
    safe = norms.clamp_min(torch.finfo(torch.float64).tiny)
    return torch.where(torch.isfinite(norms), torch.clamp(clip_norm * MARGIN / safe, max=1.0), 0.0)


def clipped_sum(
    compute: Compute,
    units: Sequence[int],
    dimension: int,
    clip_norm: float,
    widths: Sequence[int],
    device: str = "cpu",
) -> Vector:
    """Sum of the clipped contributions of `units`, `[dimension]` float64 on the CPU."""
    total = torch.zeros(dimension, dtype=torch.float64, device=device)
    for found, factors in clipped(compute, units, dimension, clip_norm, widths):
        found.add(factors, total)
    return total.cpu()


def clipped(
    compute: Compute, units: Sequence[int], dimension: int, clip_norm: float, widths: Sequence[int]
) -> Iterator[tuple[Contributions, Tensor]]:
    """The contributions of `units` in chunks, each with the factors that clip it; 0 leaves a row out.

    Every call of `compute` gets one of `widths` units, the largest first; a chunk that is
    smaller is filled with repeats that are then left out.
    """
    start = 0
    while start < len(units):
        width = _width(len(units) - start, widths)
        part = list(units[start : start + width])
        for found, norms, own in _isolated(compute, part, dimension, width):
            factors = clip_factors(norms, clip_norm)
            factors[own:] = 0.0
            yield found, factors
        start += width


def _width(left: int, widths: Sequence[int]) -> int:
    """The least width for all that are left, a fifth of it unused at most, else the most that fits."""
    ample = [width for width in widths if left <= width <= 1.25 * left]
    fitting = [width for width in widths if width <= left]
    return min(ample) if ample else max(fitting, default=min(widths))


def _isolated(
    compute: Compute, part: list[int], dimension: int, width: int
) -> Iterator[tuple[Contributions, Tensor, int]]:
    """Contributions, norms and how many are of `part`; where its units raise together, each alone."""
    try:
        found, norms = _filled(compute, part, dimension, width)
    except Exception as error:
        if _exhausted(error):
            raise
        if len(part) > 1:
            for unit in part:
                yield from _isolated(compute, [unit], dimension, width)
    else:
        yield found, norms, len(part)


def _exhausted(error: Exception) -> bool:
    """Whether the machine failed, not a unit: who else is in the chunk must not decide whose row is zero."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _EXHAUSTED)


def _filled(compute: Compute, part: list[int], dimension: int, width: int) -> tuple[Contributions, Tensor]:
    found = compute([*part, *[part[0]] * (width - len(part))])
    norms = found.norms()
    if norms.shape != (width,) or found.dimension != dimension:  # would broadcast, past the bound
        raise ValueError(
            f"{tuple(norms.shape)} contributions of {found.dimension}, not {width} of {dimension}"
        )
    return found, norms
