"""A classifier of latents: what a private set is learnt through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import linear, silu


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A multilayer perceptron from a latent to the logits of `labels`, of plain linear layers.

    No normalisation over a batch: what one person's row gives depends on that row alone.
    """

    latent: int
    labels: int
    width: int
    depth: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all parameters by name, in the order in which `init` draws them."""
        sizes = [self.latent, *[self.width] * self.depth, self.labels]
        shapes: dict[str, tuple[int, ...]] = {}
        for number, (wide, narrow) in enumerate(pairwise(sizes)):
            shapes |= {f"layer{number}.weight": (narrow, wide), f"layer{number}.bias": (narrow,)}
        return shapes

    def init(self, random: torch.Generator) -> dict[str, Tensor]:
        """Initial parameters: uniform weights of variance 1 / inputs, no biases."""
        return {name: _start(shape, random) for name, shape in self.shapes().items()}

    def apply(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Logits `[..., labels]` of `x` `[..., latent]`."""
        hidden = x
        for number in range(self.depth + 1):
            weight, bias = parameters[f"layer{number}.weight"], parameters[f"layer{number}.bias"]
            hidden = linear(hidden, weight, bias)
            if number < self.depth:
                hidden = silu(hidden)
        return hidden


def _start(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.zeros(shape)
    bound: float = (3 / prod(shape[1:])) ** 0.5
    return (torch.rand(shape, generator=random) * 2 - 1) * bound
