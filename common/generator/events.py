"""Motion that happens once: the path through postures, and the pace along it.

Time is replaced by the share of the way that the body has gone, so that the moments of two
people's kicks meet; a low-order DCT then describes the path, another the pace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import sqrt
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from common.generator import bounds
from common.generator.codec import dct_basis
from common.motion.features import FEATURES

_GRID: Final = 128  # points along the way
_CHUNK: Final = 64  # motions at a time


@dataclass(frozen=True)
class Event:
    """Features `[n, frames, 67]` to `[n, pace + path * 67]` cosines of log pace and of features.

    `idle` is what standing still counts for, as a share of the motion's own mean speed: at
    infinity the way is time itself.
    """

    kind: ClassVar[str] = "event"

    frames: int
    path: int
    pace: int
    idle: float

    @property
    def width(self) -> int:
        return self.pace + self.path * FEATURES

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self._forward(part) for part in features.split(_CHUNK)])

    def _forward(self, features: Tensor) -> Tensor:
        way = self._way(features)  # [n, frames], 0 to 1
        even = torch.linspace(0, 1, _GRID).expand(len(features), -1).contiguous()
        time = _invert(way, even)  # the frame at each point of the way
        shape = torch.einsum("gk,ngc->nkc", self._cosines, sample(features, time)) / _GRID
        slope = torch.log((time[:, 1:] - time[:, :-1]).clamp_min(1e-3) * (_GRID - 1) / self.frames)
        slope = torch.cat([slope, slope[:, -1:]], dim=1)
        pace = slope @ self._cosines[:, : self.pace] / _GRID
        return torch.cat([pace, shape.flatten(1)], dim=1)

    def inverse(self, coefficients: Tensor, generator: torch.Generator) -> Tensor:
        """Coefficients to features `[n, frames, 67]`; nothing random was taken out, none is put in."""
        return torch.cat([self._inverse(part) for part in coefficients.split(_CHUNK)])

    def _inverse(self, coefficients: Tensor) -> Tensor:
        slope = torch.exp(coefficients[:, : self.pace] @ self._cosines[:, : self.pace].T)
        time = torch.cumsum(slope[:, :-1], dim=1)
        time = torch.cat([torch.zeros_like(time[:, :1]), time], dim=1)
        time = time / time[:, -1:] * (self.frames - 1)
        frames = torch.arange(self.frames, dtype=torch.float32).expand(len(time), -1).contiguous()
        shape = coefficients[:, self.pace :].unflatten(1, (self.path, FEATURES))
        signal = torch.einsum("gk,nkc->ngc", self._cosines, shape)
        return sample(signal, _invert(time, frames))

    def restored(self, coefficients: Tensor, features: Tensor) -> Tensor:
        return self.inverse(coefficients, torch.Generator())

    def weights(self, channel: Tensor, timing: float) -> Tensor:
        """Weights `[pace + path * 67]` under which a sum of squares is a mean square over the way."""
        return torch.cat([torch.full((self.pace,), timing), channel.repeat(self.path)])

    def description(self) -> dict[str, Any]:
        return {"kind": self.kind} | asdict(self)

    @classmethod
    def from_description(cls, fields: Mapping[str, Any], frames: int) -> Self:
        return cls(
            frames=bounds.integer(fields, "frames", frames, frames),
            path=bounds.integer(fields, "path", 1, _GRID),
            pace=bounds.integer(fields, "pace", 1, _GRID),
            idle=bounds.number(fields, "idle", 0, 1e9),
        )

    @cached_property
    def _cosines(self) -> Tensor:
        """`[grid, path or pace]`, of mean square one."""
        return dct_basis(_GRID, max(self.path, self.pace))[:, : self.path] * sqrt(_GRID)

    def _way(self, features: Tensor) -> Tensor:
        """Share of the way gone at each frame, `[n, frames]`, from 0 to 1, strictly rising."""
        pose = features[..., 3:]
        speed = (pose[:, 1:] - pose[:, :-1]).square().sum(dim=-1).sqrt()
        speed = torch.einsum("st,nt->ns", _smoothing(self.frames - 1), speed)
        gone = torch.cumsum(speed + self.idle * speed.mean(dim=1, keepdim=True) + 1e-6, dim=1)
        return pad(gone / gone[:, -1:], (1, 0))


def _smoothing(frames: int) -> Tensor:
    """A Gaussian filter of one and a half frames as a matrix whose rows sum to one."""
    distance = torch.arange(frames)[:, None] - torch.arange(frames)
    weights = torch.exp(-0.5 * (distance / 1.5) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)


def _invert(rising: Tensor, values: Tensor) -> Tensor:
    """Where the piecewise linear `rising` `[n, t]` takes `values` `[n, s]`: fractional indices."""
    last = rising.shape[1] - 1
    above = torch.searchsorted(rising.contiguous(), values).clamp(1, last)
    low, high = rising.gather(1, above - 1), rising.gather(1, above)
    return above - 1 + ((values - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)


def sample(signal: Tensor, position: Tensor) -> Tensor:
    """`signal` `[n, t, c]` at fractional frames `position` `[n, s]`: cubic (Catmull-Rom), held outside."""
    last = signal.shape[1] - 1
    position = position.clamp(0, last)
    low = position.floor().clamp(0, last - 1)
    u = (position - low)[..., None]
    rows = low.to(torch.int64)

    def at(shift: int) -> Tensor:
        index = (rows + shift).clamp(0, last)[..., None].expand(-1, -1, signal.shape[2])
        return signal.gather(1, index)

    before, here, after, beyond = at(-1), at(0), at(1), at(2)
    slope0, slope1 = (after - before) / 2, (beyond - here) / 2
    curve = 2 * (here - after) + slope0 + slope1
    bend = 3 * (after - here) - 2 * slope0 - slope1
    return here + u * (slope0 + u * (bend + u * curve))
