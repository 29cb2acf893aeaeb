"""One public basis: the coefficients of a motion to a latent; or two of them, and which one in a sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, Final

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import LATENT_BOUND
from common.generator.events import Event
from common.generator.fourier import Fourier
from common.generator.handed import Handed, Transform
from common.motion.features import FEATURES

TRAVEL_WEIGHT: Final = (4.0, 6.0, 6.0)
"""Yaw, x, z per frame: small numbers that add up over a window."""
CHOICE: Final = "choice"
LEAST_SHARE: Final = 0.1
"""Of a choice: with less, one of the two has nothing to say."""


@dataclass(frozen=True, eq=False)
class Entry:
    """latent = (V^T W (coefficients - mean)) / scale, with V orthonormal in weighted coefficients.

    `mean` and `weight` are `[width]`, `basis` V is `[width, latent]`, `scale` `[latent]`.
    """

    transform: Transform
    mean: Tensor
    weight: Tensor
    basis: Tensor
    scale: Tensor

    @property
    def latent(self) -> int:
        return len(self.scale)

    @property
    def kinds(self) -> tuple[str, ...]:
        return (self.transform.kind,)

    def encode(self, features: Tensor) -> Tensor:
        weighted = (self.transform.forward(features) - self.mean) * self.weight
        return (weighted @ self.basis / self.scale).clamp(-LATENT_BOUND, LATENT_BOUND)

    def decode(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        return self.transform.inverse(self._coefficients(latents), generator)

    def restored(self, latents: Tensor, features: Tensor) -> Tensor:
        """`latents` of `features` decoded, at the phase of `features`."""
        return self.transform.restored(self._coefficients(latents), features)

    def _coefficients(self, latents: Tensor) -> Tensor:
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND)
        return self.mean + (bounded * self.scale) @ self.basis.T / self.weight

    def description(self) -> dict[str, Any]:
        return self.transform.description()

    def arrays(self) -> list[Tensor]:
        return [self.mean, self.weight, self.basis, self.scale]


@dataclass(frozen=True, eq=False)
class Choice:
    """Each motion in the one of two entries that leaves the smaller residual of it.

    The first number of a latent says which, as a variable of mean zero and variance one if a
    `share` of motions takes the first: sqrt((1 - share) / share), or -sqrt(share / (1 - share)).
    Decoding splits halfway between. The other numbers are standardised within either entry, so
    that a latent drawn from a Gaussian, or one in between, decodes to a motion of one or the other.
    """

    first: Entry
    second: Entry
    share: float

    @property
    def latent(self) -> int:
        return 1 + self.first.latent

    @property
    def kinds(self) -> tuple[str, ...]:
        return (*self.first.kinds, *self.second.kinds)

    @property
    def _signs(self) -> tuple[float, float]:
        odds = sqrt((1 - self.share) / self.share)
        return odds, -1 / odds

    @property
    def threshold(self) -> float:
        """First numbers above it stand for the first entry."""
        return sum(self._signs) / 2

    def encode(self, features: Tensor) -> Tensor:
        """Both entries encode all rows, so that the shape of no kernel depends on what others chose."""
        pair = [(entry, entry.encode(features)) for entry in (self.first, self.second)]
        left = [residual(entry.restored(latents, features), features) for entry, latents in pair]
        chosen = (left[0] <= left[1])[:, None]
        high, low = self._signs
        which = torch.where(chosen, high, low)
        rest = torch.where(chosen, pair[0][1], pair[1][1])
        return torch.cat([which, rest], dim=1)

    def decode(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        first = self.first.decode(latents[:, 1:], generator)
        return self._chosen(latents, first, self.second.decode(latents[:, 1:], generator))

    def restored(self, latents: Tensor, features: Tensor) -> Tensor:
        first = self.first.restored(latents[:, 1:], features)
        return self._chosen(latents, first, self.second.restored(latents[:, 1:], features))

    def _chosen(self, latents: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return torch.where((latents[:, 0] > self.threshold)[:, None, None], first, second)

    def description(self) -> dict[str, Any]:
        return {
            "kind": CHOICE,
            "share": self.share,
            "first": self.first.description(),
            "second": self.second.description(),
        }

    def arrays(self) -> list[Tensor]:
        return self.first.arrays() + self.second.arrays()


def residual(back: Tensor, features: Tensor) -> Tensor:
    """Mean square of what is missing of each motion `[n, frames, 67]`, travel weighed: `[n]`."""
    return ((back - features) * channel_weights()).square().mean(dim=(1, 2))


def channel_weights() -> Tensor:
    channel = torch.ones(FEATURES)
    channel[:3] = torch.tensor(TRAVEL_WEIGHT)
    return channel


class Packed:
    """Arrays one after the other in one flat tensor: a message holds at most 256 arrays."""

    def __init__(self, flat: Tensor) -> None:
        self._flat = flat
        self._at = 0

    @staticmethod
    def pack(arrays: list[Tensor]) -> Tensor:
        return torch.cat([array.flatten() for array in arrays])

    def take(self, *shape: int) -> Tensor:
        count = prod(shape)
        if self._at + count > len(self._flat):
            raise InputError(f"the codec's array entries is too short: {len(self._flat)} numbers")
        self._at += count
        return self._flat[self._at - count : self._at].reshape(shape)

    @property
    def done(self) -> bool:
        return self._at == len(self._flat)


def entry_from(fields: Any, latent: int, frames: int, packed: Packed) -> Entry | Choice:
    """The entry that its `description()` and `arrays()` came from."""
    fields = bounds.table(fields, "entries")
    if fields.get("kind") != CHOICE:
        return _entry(fields, latent, frames, packed)
    first, second = (
        _entry(bounds.table(fields.get(part), part), latent - 1, frames, packed)
        for part in ("first", "second")
    )
    return Choice(first, second, bounds.number(fields, "share", LEAST_SHARE, 1 - LEAST_SHARE))


def _entry(fields: Mapping[str, Any], latent: int, frames: int, packed: Packed) -> Entry:
    transform = _transform(fields, frames, handed=True)
    width = transform.width
    mean, weight = packed.take(width), bounds.positive(packed.take(width), "weight")
    return Entry(
        transform, mean, weight, packed.take(width, latent), bounds.positive(packed.take(latent), "scale")
    )


def _transform(fields: Mapping[str, Any], frames: int, *, handed: bool) -> Transform:
    kind = fields.get("kind")
    if kind == Handed.kind and handed:
        return Handed(_transform(bounds.table(fields.get("inner"), "inner"), frames, handed=False))
    if kind == Fourier.kind:
        return Fourier.from_description(fields, frames)
    if kind == Event.kind:
        return Event.from_description(fields, frames)
    raise InputError(f"the codec's transform {kind!r:.40} is unknown")
