"""One flat vector from named tensors and back: what is clipped, noised, charged and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

Vector = Tensor
"""A one-dimensional float tensor."""


@dataclass(frozen=True)
class Layout:
    """Names and shapes of tensors in a fixed order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Layout:
        names = tuple(sorted(tensors))
        return cls(names, tuple(tuple(tensors[name].shape) for name in names))

    @property
    def dimension(self) -> int:
        return sum(prod(shape) for shape in self.shapes)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Vector:
        """Concatenate `tensors` into one vector `[dimension]`."""
        return torch.cat([tensors[name].reshape(-1) for name in self.names])

    def unflatten(self, vector: Vector) -> dict[str, Tensor]:
        """The inverse of `flatten`; raises ValueError on a wrong length."""
        if vector.shape != (self.dimension,):
            raise ValueError(f"expected a vector of {self.dimension} values, got {tuple(vector.shape)}")
        pieces = torch.split(vector, [prod(shape) for shape in self.shapes])
        return {n: p.reshape(s) for n, p, s in zip(self.names, pieces, self.shapes, strict=True)}
