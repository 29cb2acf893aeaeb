"""Motion that repeats: frequency, slow part and harmonics, with the phase taken out.

After phase registration a walker is a short Fourier series (Troje, Journal of Vision 2, 2002);
a Gaussian over such series is a good model, where one over raw windows is not: the phase runs
round a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import log, pi
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import dct_basis
from common.motion.features import FEATURES

_STEPS: Final = 128  # frequencies tried
_CHUNK: Final = 512  # motions at a time
_TRIED: Final = 256  # motions looked at to choose a band and a phase channel
_RIDGE: Final = 1e-3  # keeps a slow carrier and the slow part from cancelling each other
_MOST_WAVES: Final = 16
_LARGEST_DESIGN: Final = 2**14  # frames x columns, of which each of 128 frequencies holds one
_MOST_ENVELOPE: Final = 4
_HALF_BAND: Final = 1.39  # a band is just under an octave: half a frequency is never in it


def _local(joint: int, axis: int) -> int:
    return 4 + 3 * (joint - 1) + axis


_FIT_CHANNELS: Final = tuple(_local(joint, axis) for joint in (7, 8, 20, 21) for axis in range(3))
PHASE_CHANNELS: Final = {
    "right_ankle_z": _local(8, 2),
    "right_wrist_x": _local(21, 0),
    "right_wrist_y": _local(21, 1),
    "right_wrist_z": _local(21, 2),
}


@dataclass(frozen=True)
class Fourier:
    """Features `[n, frames, 67]` to `[n, 1 + k * 67]`: log frequency (Hz) and k coefficients a channel.

    A channel is a slow part of `slow` cosines plus `harmonics` of the frequency, each times an
    envelope of `envelope` cosines: steady gait has 1, 4, 1; a gesture that swings for a while
    has many, 1, few. The frequency, between `low` and `high` Hz, leaves the smallest residual at
    ankles and wrists; phase zero is where the first harmonic of `phase` peaks.
    """

    kind: ClassVar[str] = "fourier"

    frames: int
    rate: float
    slow: int
    harmonics: int
    envelope: int
    low: float
    high: float
    phase: str

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self._forward(part) for part in features.split(_CHUNK)])

    def _forward(self, features: Tensor) -> Tensor:
        rate, series = self._series(features)
        turned = self._delayed(series, -self._phase(series))
        return torch.cat([torch.log(rate)[:, None], turned.flatten(1)], dim=1)

    def _phase(self, series: Tensor) -> Tensor:
        """Where in its cycle each motion starts, rad, `[n]`."""
        first = self._carriers(series)[:, :, 0, 0, PHASE_CHANNELS[self.phase]]  # cosine and sine
        return torch.atan2(first[:, 1], first[:, 0])

    def _series(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Frequency `[n]` in Hz and the coefficients from the window's first frame on, `[n, k, 67]`."""
        key = features[..., _FIT_CHANNELS]
        key = key - key.mean(dim=1, keepdim=True)
        explained = torch.einsum("ftk,ntc->nfkc", self._orthonormal, key).square().sum(dim=(2, 3))
        best = explained.argmax(dim=1)
        return self._frequencies[best], torch.einsum("nkt,ntc->nkc", self._inverse[best], features)

    def inverse(self, coefficients: Tensor, generator: torch.Generator) -> Tensor:
        """Coefficients to features `[n, frames, 67]` that start at a random phase."""
        return self._started(coefficients, torch.rand(len(coefficients), generator=generator) * 2 * pi)

    def restored(self, coefficients: Tensor, features: Tensor) -> Tensor:
        """Coefficients to features that start where `features` do."""
        phases = [self._phase(self._series(part)[1]) for part in features.split(_CHUNK)]
        return self._started(coefficients, torch.cat(phases))

    def _started(self, coefficients: Tensor, phase: Tensor) -> Tensor:
        rate = coefficients[:, 0].clamp(log(self.low), log(self.high)).exp()
        series = coefficients[:, 1:].unflatten(1, (self._width, FEATURES))
        return torch.einsum("ntk,nkc->ntc", self._design(rate), self._delayed(series, phase))

    def weights(self, channel: Tensor, timing: float) -> Tensor:
        """Weights `[1 + k * 67]` under which a sum of squares is nearly a mean square over time.

        `channel` `[67]` weighs features, `timing` the logarithm of the frequency.
        """
        power = self._design(torch.tensor([1.0])).square().mean(dim=1)[0].sqrt()
        return torch.cat([torch.tensor([timing]), (power[:, None] * channel).flatten()])

    def description(self) -> dict[str, Any]:
        return {"kind": self.kind} | asdict(self)

    @classmethod
    def from_description(cls, fields: Mapping[str, Any], frames: int) -> Self:
        phase = bounds.text(fields, "phase")
        if phase not in PHASE_CHANNELS:
            raise InputError(f"the codec's phase is {phase!r:.40}: choose from {', '.join(PHASE_CHANNELS)}")
        low = bounds.number(fields, "low", 0.01, 100)
        found = cls(
            frames=bounds.integer(fields, "frames", frames, frames),
            rate=bounds.number(fields, "rate", 0.1, 10_000),
            slow=bounds.integer(fields, "slow", 1, _MOST_WAVES),
            harmonics=bounds.integer(fields, "harmonics", 1, _MOST_WAVES),
            envelope=bounds.integer(fields, "envelope", 1, _MOST_ENVELOPE),
            low=low,
            high=bounds.number(fields, "high", low, 100),
            phase=phase,
        )
        if frames * found._width > _LARGEST_DESIGN:
            raise InputError(f"the codec's {found._width} waves over {frames} frames are too many")
        return found

    @classmethod
    def fit(cls, features: Tensor, rate: float, slow: int, harmonics: int, envelope: int) -> Self:
        """The band and the phase channel that suit public features `[n, frames, 67]`.

        The first harmonic must stand out: where only even harmonics are present, the frequency
        is half of the true one. The band is centred on the public median.
        """
        few = features[:: max(1, len(features) // _TRIED)]
        found: list[tuple[float, Self]] = []
        for middle in (0.85, 1.05, 1.35, 1.75):
            trial = cls(
                features.shape[1], rate, slow, harmonics, envelope,
                middle / _HALF_BAND, middle * _HALF_BAND, "right_ankle_z",
            )  # fmt: skip
            frequency, series = trial._series(few)
            centre = float(frequency.median())
            trial = replace(trial, low=centre / _HALF_BAND, high=centre * _HALF_BAND)
            first = trial._carriers(series)[:, :, 0, 0]
            for phase, channel in PHASE_CHANNELS.items():
                found.append(
                    (_prominence(first[..., channel], few[..., channel]), replace(trial, phase=phase))
                )
        return max(found, key=lambda pair: pair[0])[1]

    @property
    def width(self) -> int:
        return 1 + self._width * FEATURES

    @property
    def _width(self) -> int:
        return self.slow + 2 * self.harmonics * self.envelope

    def _carriers(self, series: Tensor) -> Tensor:
        """The periodic part of `[n, k, 67]` as `[n, 2, harmonics, envelope, 67]`."""
        carriers: Tensor = series[:, self.slow :].unflatten(1, (2, self.harmonics, self.envelope))
        return carriers

    def _delayed(self, series: Tensor, angle: Tensor) -> Tensor:
        """`series` `[n, k, 67]` with the phase of its first harmonic moved by `angle` `[n]`."""
        cosine, sine = self._carriers(series).unbind(1)
        turned = angle[:, None, None, None] * torch.arange(1, self.harmonics + 1)[:, None, None]
        c, s = torch.cos(turned), torch.sin(turned)
        moved = torch.stack([cosine * c - sine * s, sine * c + cosine * s], dim=1)
        return torch.cat([series[:, : self.slow], moved.flatten(1, 3)], dim=1)

    def _design(self, rate: Tensor) -> Tensor:
        """Columns of the fit at frequencies `rate` `[n]` Hz: `[n, frames, k]`."""
        time = (torch.arange(self.frames) - (self.frames - 1) / 2) / self.rate
        multiples = torch.arange(1, self.harmonics + 1)
        angle = 2 * pi * rate[:, None, None] * time[:, None] * multiples
        waves = torch.stack([torch.cos(angle), torch.sin(angle)], dim=2)  # [n, t, 2, h]
        shapes = dct_basis(self.frames, max(self.slow, self.envelope)) * self.frames**0.5
        carriers = (waves[..., None] * shapes[:, None, None, : self.envelope]).flatten(2)
        return torch.cat([shapes[:, : self.slow].expand(len(rate), -1, -1), carriers], dim=2)

    @cached_property
    def _frequencies(self) -> Tensor:
        return torch.exp(torch.linspace(log(self.low), log(self.high), _STEPS))

    @cached_property
    def _orthonormal(self) -> Tensor:
        basis: Tensor = torch.linalg.qr(self._design(self._frequencies).to(torch.float64))[0]
        return basis.to(torch.float32)

    @cached_property
    def _inverse(self) -> Tensor:
        """Regularised least squares at each frequency, `[frequencies, k, frames]`."""
        design = self._design(self._frequencies).to(torch.float64)
        gram = design.mT @ design + _RIDGE * self.frames * torch.eye(self._width, dtype=torch.float64)
        inverse: Tensor = torch.linalg.solve(gram, design.mT)
        return inverse.to(torch.float32)


def _prominence(first: Tensor, signal: Tensor) -> float:
    """Share of the variance of `signal` `[n, t]` in its first harmonic `[n, 2]`, for the worst tenth."""
    share = first.square().sum(dim=1) / 2 / (signal.var(dim=1, correction=0) + 1e-4)
    return float(torch.quantile(share, 0.1))
