"""The default denoiser: a small residual MLP over one latent, as pure functions of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear, silu

from common.errors import InputError
from common.generator.condition import Condition

_FREQUENCIES: Final = 4


@dataclass(frozen=True, kw_only=True)
class ResidualMLP:
    """F(x, c_noise, condition) = shift[label] + scale[label] * x, both faded by sigma, + MLP.

    The two tables say what a Gaussian of another mean and spread would need: for data
    N(m, v) in one coordinate, F = c_out m + sigma (v - 1) / (v + sigma^2) x with x already
    scaled by c_in. They move first, with few numbers to learn; the MLP adds what is not
    Gaussian. Label number `labels` is the null label. Every parameter belongs to a plain
    linear layer or an embedding.
    """

    kind: ClassVar[str] = "residual_mlp"

    latent: int
    labels: int
    width: int
    depth: int

    def init(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters: tables and the last layer are zero, so that F = 0."""
        random = torch.Generator().manual_seed(seed)
        parameters = {
            "shift.weight": torch.zeros(self.labels + 1, self.latent),
            "scale.weight": torch.zeros(self.labels + 1, self.latent),
        }
        if self.depth == 0:
            return parameters
        parameters["label.weight"] = torch.randn(self.labels + 1, self.width, generator=random) * 0.5
        shapes = {"input": self.latent, "noise": 2 * _FREQUENCIES}
        shapes |= {f"block{i}": self.width for i in range(self.depth)}
        for name, inputs in shapes.items():
            bound = inputs**-0.5
            weight = torch.rand(self.width, inputs, generator=random) * 2 - 1
            parameters[f"{name}.weight"] = weight * bound
            parameters[f"{name}.bias"] = torch.zeros(self.width)
        parameters["output.weight"] = torch.zeros(self.latent, self.width)
        return parameters

    def apply(
        self, parameters: Mapping[str, Tensor], x: Tensor, c_noise: Tensor, condition: Condition
    ) -> Tensor:
        """F for `x` `[..., latent]`, `c_noise` and `condition` `[...]`: `[..., latent]`."""
        labels = condition.labels
        sigma = torch.exp(4 * c_noise)[..., None]
        near = 1 / (1 + sigma**2)
        shift = embedding(labels, parameters["shift.weight"])
        scale = embedding(labels, parameters["scale.weight"])
        gaussian = sigma * torch.sqrt(near) * shift + 2 * sigma * near * scale * x
        if self.depth == 0:
            return gaussian
        hidden = linear(x, parameters["input.weight"], parameters["input.bias"])
        hidden = hidden + linear(_waves(c_noise), parameters["noise.weight"], parameters["noise.bias"])
        hidden = hidden + embedding(labels, parameters["label.weight"])
        for i in range(self.depth):
            inner = linear(silu(hidden), parameters[f"block{i}.weight"], parameters[f"block{i}.bias"])
            hidden = hidden + inner
        return gaussian + linear(silu(hidden), parameters["output.weight"])

    def description(self) -> dict[str, Any]:
        """The shape, as JSON."""
        return {"kind": self.kind} | asdict(self)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The denoiser that `description()` came from; InputError for another kind."""
        if description.get("kind") != cls.kind:
            raise InputError(f"unknown denoiser {description.get('kind')!r}: this version knows {cls.kind}")
        return cls(**{name: int(description[name]) for name in ("latent", "labels", "width", "depth")})


def _waves(c_noise: Tensor) -> Tensor:
    """c_noise `[...]` as `[..., 8]` cosines and sines of rising frequency."""
    rates = torch.pi * 2.0 ** torch.arange(_FREQUENCIES, device=c_noise.device) / 4
    angles = c_noise[..., None] * rates
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
