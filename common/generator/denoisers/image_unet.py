"""A 2-D U-Net over the pixels of an image, whose rows are frames and whose columns are channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor, cat
from torch.nn.functional import conv2d, group_norm, linear, pad, silu, tanh

from common.errors import InputError
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser, Level, Parameters, Shapes, told, waves

_FREQUENCIES: Final = 6
_GROUP: Final = 8
_DEEPEST: Final = 4


@dataclass(frozen=True, kw_only=True)
class ImageUNet(Denoiser):
    """`depth` halvings of both sides; `width` channels at full size, twice as many below.

    A residual block at each size on the way down, one lowest, one at each on the way up. GroupNorm
    over 8 channels of a whole image; noise and condition modulate each block by scales and shifts
    within plus and minus 1. DPDM's is the same idea with attention at 7 x 7, 1.75 million parameters.
    """

    kind: ClassVar[str] = "unet2d"

    width: int
    depth: int

    def __post_init__(self) -> None:
        if self.width % _GROUP:
            raise InputError(f"width = {self.width}: a 2-D U-Net's must be a multiple of {_GROUP}")
        side = min(self.frames, self.channels)
        if not 1 <= self.depth <= _DEEPEST or 2**self.depth > side:
            most = min(_DEEPEST, side.bit_length() - 1)
            raise InputError(f"depth = {self.depth}: a 2-D U-Net halves {side} pixels from 1 to {most} times")

    @property
    def _blocks(self) -> dict[str, tuple[int, int]]:
        """Channels in and out of each block: down, the last of them lowest, then up again."""
        wide = 2 * self.width
        down = [(self.width, self.width), *[(wide, wide)] * self.depth]
        up = [*[(2 * wide, wide)] * (self.depth - 1), (wide + self.width, self.width)]
        return {f"block{i}": channels for i, channels in enumerate(down + up)}

    def shapes(self) -> Shapes:
        width = self.width
        shapes: Shapes = {"label.weight": (self.labels + 1, width)}
        if self.text:
            shapes["text.weight"] = (width, self.text)
        layers: Shapes = {"noise.input": (width, 2 * _FREQUENCIES), "noise.output": (width, width)}
        layers["input"] = (width, 1, 3, 3)
        norms = {"output.norm": width}
        for i in range(self.depth):
            layers[f"down{i}"] = (2 * width, 2 * width if i else width, 3, 3)
        for name, (inputs, outputs) in self._blocks.items():
            layers |= {f"{name}.conv1": (outputs, inputs, 3, 3), f"{name}.conv2": (outputs, outputs, 3, 3)}
            layers[f"{name}.film"] = (2 * outputs, width)
            norms |= {f"{name}.norm1": inputs, f"{name}.norm2": outputs}
            if inputs != outputs:
                layers[f"{name}.skip"] = (outputs, inputs, 1, 1)
        layers["output"] = (1, width, 3, 3)
        for name, shape in layers.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        for name, size in norms.items():
            shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
        return shapes

    def apply(self, parameters: Parameters, x: Tensor, level: Level, condition: Condition) -> Tensor:
        whole = 2**self.depth
        pixels = x.reshape(-1, 1, self.frames, self.channels)
        wish = self._wish(parameters, level, condition)
        names = iter(self._blocks)
        hidden = _conv(parameters, "input", pad(pixels, (0, -self.channels % whole, 0, -self.frames % whole)))
        passed = []
        for i in range(self.depth):
            hidden = _block(parameters, next(names), hidden, wish)
            passed.append(hidden)
            hidden = _conv(parameters, f"down{i}", hidden, stride=2)
        hidden = _block(parameters, next(names), hidden, wish)
        for kept in reversed(passed):
            doubled = hidden.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            hidden = _block(parameters, next(names), cat([doubled, kept], dim=1), wish)
        hidden = silu(_norm(parameters, "output.norm", hidden))
        found = _conv(parameters, "output", hidden)[..., : self.frames, : self.channels]
        return found.reshape(x.shape)

    def _wish(self, parameters: Parameters, level: Level, condition: Condition) -> Tensor:
        """Noise and condition, `[n, width]`."""
        noise = waves(level.noise.reshape(-1), _FREQUENCIES)
        noise = silu(linear(noise, parameters["noise.input.weight"], parameters["noise.input.bias"]))
        noise = linear(noise, parameters["noise.output.weight"], parameters["noise.output.bias"])
        return silu(noise + told(parameters, condition.flat()))


def _block(parameters: Parameters, name: str, value: Tensor, wish: Tensor) -> Tensor:
    """A residual block over `value` `[n, channels, rows, columns]`."""
    film = tanh(linear(wish, parameters[f"{name}.film.weight"], parameters[f"{name}.film.bias"]))
    scale, shift = film[..., None, None].chunk(2, dim=1)
    hidden = _conv(parameters, f"{name}.conv1", silu(_norm(parameters, f"{name}.norm1", value)))
    hidden = _norm(parameters, f"{name}.norm2", hidden) * (1 + scale) + shift
    hidden = _conv(parameters, f"{name}.conv2", silu(hidden))
    return hidden + (
        _conv(parameters, f"{name}.skip", value) if f"{name}.skip.weight" in parameters else value
    )


def _conv(parameters: Parameters, name: str, value: Tensor, stride: int = 1) -> Tensor:
    weight = parameters[f"{name}.weight"]
    return conv2d(value, weight, parameters[f"{name}.bias"], stride=stride, padding=weight.shape[2] // 2)


def _norm(parameters: Parameters, name: str, value: Tensor) -> Tensor:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return group_norm(value, value.shape[1] // _GROUP, weight, bias)
