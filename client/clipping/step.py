"""What an engine computes: each unit's gradient at one point, and its loss where that is charged too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import ClassVar, Protocol

from torch import Tensor

from client.clipping.bound import Contributions
from common.vector import Layout

Examples = Mapping[str, Tensor]
"""A method's draws; every tensor has the leading axis `[units]`."""


class PerUnitLoss(Protocol):
    """All that an engine needs of a method."""

    name: ClassVar[str]

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """One loss for each unit, `[units]`, from that unit's rows alone."""


@dataclass(frozen=True, eq=False)
class Step:
    """A method's loss over parameters laid out in one vector.

    With `loss_weight` above 0 the vector's last coordinate is the weighted loss, clipped
    and noised with the rest.
    """

    method: PerUnitLoss
    layout: Layout
    loss_weight: float = 0.0

    @property
    def dimension(self) -> int:
        return self.layout.dimension + (self.loss_weight > 0)

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where each parameter's gradient stands in the vector."""
        ends = list(accumulate(prod(shape) for shape in self.layout.shapes))
        starts = [0, *ends[:-1]]
        return {name: slice(*pair) for name, *pair in zip(self.layout.names, starts, ends, strict=True)}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict(zip(self.layout.names, self.layout.shapes, strict=True))


PerUnit = Callable[[Mapping[str, Tensor], Examples], Contributions]
"""Parameters and examples to what each unit contributes."""
