"""Book-keeping without writing gradients out: norms from Gram matrices, the sum as one product.

A layer's per-unit gradient is sum_n l_n r_n^T over the unit's rows, so that its squared
norm is the sum of <l l^T, r r^T> (Li, Tramer, Liang, Hashimoto 2022). In single precision
that misses what nearly cancels, and a sum over units would mix their rounding errors past
the sensitivity bound; both are therefore taken in float64, with an error bound on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from client.clipping.bound import Rows, joined_norms
from client.clipping.direct import weighted
from client.clipping.keep import backward
from client.clipping.step import Examples, Step
from common.vector import Vector

_CANCELLING = 100.0
"""The most by which the sum of a unit's terms may exceed its norm before the unit is scaled down for it.

The rounding error of the sum over units is then below 1e-16 x rows x 100 C for each unit.
"""


@dataclass(frozen=True, eq=False)
class Factors:
    """Per-unit gradients sum_n left[u, n] right[u, n]^T: `left` `[units, N, p]`, `right` `[units, N, q]`."""

    left: Tensor
    right: Tensor

    def row(self, unit: int) -> Vector:
        return (self.left[unit].T @ self.right[unit]).flatten()

    def norms(self) -> Tensor:
        """`[units]` float64: the Gram norm with its rounding error added, see `_CANCELLING`."""
        left, left_scale = _scaled(self.left)
        right, right_scale = _scaled(self.right)
        squares = (left @ left.mT * (right @ right.mT)).sum(dim=(1, 2))
        terms = (left.norm(dim=2) * right.norm(dim=2)).sum(dim=1)
        steps = left.shape[1] ** 2 + left.shape[2] + right.shape[2] + 8
        error = torch.finfo(torch.float64).eps * steps * terms.square()
        bound = torch.maximum((squares.clamp_min(0.0) + error).sqrt(), terms / _CANCELLING)
        return bound * left_scale * right_scale

    def add(self, factors: Tensor, place: Vector) -> None:
        chosen = factors != 0
        left = self.left[chosen].to(torch.float64) * factors[chosen, None, None]
        right = self.right[chosen].to(torch.float64)
        place += (left.flatten(end_dim=1).T @ right.flatten(end_dim=1)).flatten()


def _scaled(factor: Tensor) -> tuple[Tensor, Tensor]:
    """A factor in float64 with values up to 1, so that not all squares vanish, and what it was divided by."""
    wide = factor.to(torch.float64)
    scale = wide.abs().amax(dim=(1, 2))
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return wide / scale[:, None, None], scale


@dataclass(frozen=True, eq=False)
class Mixed:
    """Contributions of which some parameters are written out and some are factors, in the layout's order."""

    parts: Sequence[Rows | Factors]
    widths: Sequence[int]

    @property
    def dimension(self) -> int:
        return sum(self.widths)

    def row(self, unit: int) -> Vector:
        return torch.cat([part.row(unit) for part in self.parts])

    def norms(self) -> Tensor:
        return joined_norms([part.norms() for part in self.parts])

    def add(self, factors: Tensor, total: Vector) -> None:
        for part, place in zip(self.parts, total.split(list(self.widths)), strict=True):
            part.add(factors, place)


class _Recorded:
    """A sink that keeps the two factors of a gradient instead of their product."""

    def __init__(self) -> None:
        self._factors: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._sums: dict[str, Tensor] = {}

    def outer(self, name: str, left: Tensor, right: Tensor) -> None:
        self._factors.setdefault(name, []).append((left, right.to(left.dtype)))

    def add(self, name: str, gradient: Tensor) -> None:
        gradient = gradient.flatten(start_dim=1)
        self._sums[name] = self._sums[name] + gradient if name in self._sums else gradient

    def part(self, name: str, units: int, width: int) -> Rows | Factors:
        """What one parameter's gradients are; with both kinds of use they are written out."""
        pairs, sums = self._factors.get(name, []), self._sums.get(name)
        if pairs and sums is None:
            lefts, rights = zip(*pairs, strict=True)
            return Factors(torch.cat(lefts, dim=1), torch.cat(rights, dim=1))
        for left, right in pairs:
            self.add(name, left.mT @ right)
        return Rows([self._sums.get(name, torch.zeros(units, width))])


class Ghost:
    """Gradients of linear layers, convolutions and embeddings as factors; parameters in `rest` by vmap."""

    def __init__(self, step: Step, rest: frozenset[str] = frozenset(), autocast: bool = False) -> None:
        self._step = step
        self._rest = rest
        self._autocast = autocast

    def __call__(self, parameters: Mapping[str, Tensor], examples: Examples) -> Mixed:
        sink, units = _Recorded(), len(next(iter(examples.values())))
        losses = backward(self._step, parameters, examples, sink, self._rest, self._autocast)
        widths = {name: place.stop - place.start for name, place in self._step.places.items()}
        parts = [sink.part(name, units, width) for name, width in widths.items()]
        columns = [Rows([column]) for column in weighted(self._step, losses)]
        return Mixed([*parts, *columns], [*widths.values(), *(1 for _ in columns)])
