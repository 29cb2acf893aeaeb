"""A 1-D U-Net over the frames of a motion: cheaper than attention, as half of it sees half the frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.nn.functional import conv1d, group_norm, linear, pad, silu

from common.errors import InputError
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser, Level, Parameters, Shapes, told, valid, waves

_FREQUENCIES: Final = 6
_GROUP: Final = 16
_DEEPEST: Final = 4


@dataclass(frozen=True, kw_only=True)
class UNet(Denoiser):
    """`depth` halvings of the frames; `width` channels at full length, twice as many below.

    Width 64 and depth 2 are the 64-128-128 channels of the specification. GroupNorm is taken over
    16 channels of each frame, so that no statistic of a motion depends on its padding; noise and
    condition modulate each block by scales and shifts within plus and minus 1.
    """

    kind: ClassVar[str] = "unet"

    width: int
    depth: int

    def __post_init__(self) -> None:
        if self.width % _GROUP:
            raise InputError(f"width = {self.width}: a U-Net's must be a multiple of {_GROUP}")
        if not 1 <= self.depth <= _DEEPEST or 2**self.depth > self.frames:
            most = min(_DEEPEST, self.frames.bit_length() - 1)
            raise InputError(
                f"depth = {self.depth}: a U-Net halves {self.frames} frames from 1 to {most} times"
            )

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
        layers["input"] = (width, self.channels, 3)
        norms = {"output.norm": width}
        for i in range(self.depth):
            layers[f"down{i}"] = (2 * width, 2 * width if i else width, 3)
        for name, (inputs, outputs) in self._blocks.items():
            layers |= {f"{name}.conv1": (outputs, inputs, 3), f"{name}.conv2": (outputs, outputs, 3)}
            layers[f"{name}.film"] = (2 * outputs, width)
            norms |= {f"{name}.norm1": inputs, f"{name}.norm2": outputs}
            if inputs != outputs:
                layers[f"{name}.skip"] = (outputs, inputs, 1)
        layers["output"] = (self.channels, width, 3)
        for name, shape in layers.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        for name, size in norms.items():
            shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
        return shapes

    def apply(self, parameters: Parameters, x: Tensor, level: Level, condition: Condition) -> Tensor:
        extra = -self.frames % 2**self.depth
        frames = pad(x.reshape(-1, self.frames, self.channels).transpose(1, 2), (0, extra))
        seen = valid(condition.lengths.reshape(-1), self.frames + extra)[:, None].to(x.dtype)
        wish = self._wish(parameters, level, condition)
        names = iter(self._blocks)
        hidden = _conv(parameters, "input", frames, seen)
        passed = []
        for i in range(self.depth):
            hidden = _block(parameters, next(names), hidden, wish, seen)
            passed.append((hidden, seen))
            hidden = _conv(parameters, f"down{i}", hidden, seen, stride=2)
            seen = seen[..., ::2]
        hidden = _block(parameters, next(names), hidden, wish, seen)
        for kept, seen in reversed(passed):
            hidden = torch.cat([hidden.repeat_interleave(2, dim=2), kept], dim=1)
            hidden = _block(parameters, next(names), hidden, wish, seen)
        hidden = silu(_norm(parameters, "output.norm", hidden))
        found = _conv(parameters, "output", hidden, seen)[..., : self.frames]
        return found.transpose(1, 2).reshape(x.shape)

    def _wish(self, parameters: Parameters, level: Level, condition: Condition) -> Tensor:
        """Noise and condition, `[n, width]`."""
        noise = waves(level.noise.reshape(-1), _FREQUENCIES)
        for part in ("input", "output"):
            noise = linear(noise, parameters[f"noise.{part}.weight"], parameters[f"noise.{part}.bias"])
            noise = silu(noise) if part == "input" else noise
        return silu(noise + told(parameters, condition.flat()))


def _block(parameters: Parameters, name: str, value: Tensor, wish: Tensor, seen: Tensor) -> Tensor:
    """A residual block over `value` `[n, channels, frames]`."""
    film = torch.tanh(linear(wish, parameters[f"{name}.film.weight"], parameters[f"{name}.film.bias"]))
    scale, shift = film[..., None].chunk(2, dim=1)
    hidden = _conv(parameters, f"{name}.conv1", silu(_norm(parameters, f"{name}.norm1", value)), seen)
    hidden = _norm(parameters, f"{name}.norm2", hidden) * (1 + scale) + shift
    hidden = _conv(parameters, f"{name}.conv2", silu(hidden), seen)
    return hidden + (
        _conv(parameters, f"{name}.skip", value, seen) if f"{name}.skip.weight" in parameters else value
    )


def _conv(parameters: Parameters, name: str, value: Tensor, seen: Tensor, stride: int = 1) -> Tensor:
    """A convolution that sees zero wherever `seen` `[n, 1, frames]` is."""
    weight = parameters[f"{name}.weight"]
    return conv1d(
        value * seen, weight, parameters[f"{name}.bias"], stride=stride, padding=weight.shape[2] // 2
    )


def _norm(parameters: Parameters, name: str, value: Tensor) -> Tensor:
    """GroupNorm over 16 channels of each frame of `value` `[n, channels, frames]`."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    rows = value.transpose(1, 2)
    normed = group_norm(rows.reshape(-1, rows.shape[2]), rows.shape[2] // _GROUP, weight, bias)
    return normed.reshape(rows.shape).transpose(1, 2)
