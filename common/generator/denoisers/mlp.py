"""The default denoiser: a small residual MLP over one latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor
from torch.nn.functional import embedding, linear, silu

from common.errors import InputError
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser, Level, Parameters, Shapes, told, waves

_FREQUENCIES: Final = 4


@dataclass(frozen=True, kw_only=True)
class ResidualMLP(Denoiser):
    """F(x, level, condition) = shift[label] + scale[label] * x, both faded by sigma, + MLP.

    The two tables say what a Gaussian of another mean and spread would need. They move first,
    with few numbers to learn; the MLP adds what is not Gaussian.
    """

    kind: ClassVar[str] = "mlp"

    width: int
    depth: int

    def __post_init__(self) -> None:
        if self.text and not self.depth:
            raise InputError("depth = 0 keeps only tables of labels, which know no text: set depth = 1")

    def shapes(self) -> Shapes:
        tables: Shapes = dict.fromkeys(("shift.weight", "scale.weight"), (self.labels + 1, self.latent))
        if self.depth == 0:
            return tables
        shapes = tables | {"label.weight": (self.labels + 1, self.width)}
        inputs = {"input": self.latent, "noise": 2 * _FREQUENCIES}
        inputs |= {f"block{i}": self.width for i in range(self.depth)}
        for name, size in inputs.items():
            shapes |= {f"{name}.weight": (self.width, size), f"{name}.bias": (self.width,)}
        if self.text:
            shapes["text.weight"] = (self.width, self.text)
        return shapes | {"output.weight": (self.latent, self.width)}

    def apply(self, parameters: Parameters, x: Tensor, level: Level, condition: Condition) -> Tensor:
        shift = embedding(condition.labels, parameters["shift.weight"])
        scale = embedding(condition.labels, parameters["scale.weight"])
        gaussian = level.mean[..., None] * shift + level.spread[..., None] * scale * x
        if self.depth == 0:
            return gaussian
        noise = waves(level.noise, _FREQUENCIES)
        hidden = linear(x, parameters["input.weight"], parameters["input.bias"])
        hidden = hidden + linear(noise, parameters["noise.weight"], parameters["noise.bias"])
        hidden = hidden + told(parameters, condition)
        for i in range(self.depth):
            inner = linear(silu(hidden), parameters[f"block{i}.weight"], parameters[f"block{i}.bias"])
            hidden = hidden + inner
        return gaussian + linear(silu(hidden), parameters["output.weight"])
