"""A critic of latents: what an adversarial method trains beside the shared generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import embedding, leaky_relu, linear

SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class Critic:
    """D(x, y): a multilayer perceptron over a latent, and a projection of the label (Miyato, 2018).

    No normalisation over a batch: what one person's row gives depends on that row alone. Every parameter
    belongs to a plain linear layer or an embedding. Label number `labels` is for none.
    """

    latent: int
    labels: int
    width: int
    depth: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all parameters by name, in the order in which `init` draws them."""
        shapes: dict[str, tuple[int, ...]] = {"label.weight": (self.labels + 1, self.width)}
        sizes = [self.latent, *[self.width] * self.depth]
        for number, size in enumerate(sizes):
            shapes |= {f"layer{number}.weight": (self.width, size), f"layer{number}.bias": (self.width,)}
        return shapes | {"output.weight": (1, self.width), "output.bias": (1,)}

    def init(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters."""
        random = torch.Generator().manual_seed(seed)
        return {name: _start(name, shape, random) for name, shape in self.shapes().items()}

    def apply(self, parameters: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        """D for `x` `[..., latent]` and `labels` `[...]` int64: `[...]`, higher for what looks real."""
        hidden = x
        for number in range(self.depth + 1):
            weight, bias = parameters[f"layer{number}.weight"], parameters[f"layer{number}.bias"]
            hidden = leaky_relu(linear(hidden, weight, bias), SLOPE)
        projected = (embedding(labels, parameters["label.weight"]) * hidden).sum(dim=-1)
        return linear(hidden, parameters["output.weight"], parameters["output.bias"])[..., 0] + projected


def _start(name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    if name.endswith(".bias"):
        return torch.zeros(shape)
    bound: float = (3 / prod(shape[1:])) ** 0.5
    return (torch.rand(shape, generator=random) * 2 - 1) * bound
