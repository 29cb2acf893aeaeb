"""The codec of body-worn sensors: a fixed low-order DCT over physical constants, fitted on nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self, TypeVar

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import (
    LATENT_BOUND,
    Codec,
    Description,
    dct_basis,
    modality_description,
)
from common.motion.recording import Modality

T = TypeVar("T")

KEPT: Final = 6
GRAVITY: Final = 9.81
"""Unit of acceleration, m/s^2."""
TURNING: Final = 2.0
"""Unit of angular rate, rad/s: a wrist's in everyday activity."""

_UNITS: Final = {"acc": GRAVITY, "gyr": TURNING}
_TYPICAL: Final = {"acc": (GRAVITY / 3**0.5, 0.15 * GRAVITY), "gyr": (0.5, 1.0)}
"""What to expect of one axis: its mean (gravity is shared by three) and the amplitude of daily movement."""


@dataclass(frozen=True, eq=False)
class SensorCodec(Codec):
    """Windows `[n, frames, channels]` to `[n, 6 * channels]`; names of channels hold `acc` or `gyr`.

    A latent is a cosine's amplitude (the mean, for the first) over what the physics of an
    everyday movement lets expect, so that latents are of order one with no data looked at.
    """

    kind: ClassVar[str] = "sensor"

    modality: Modality
    labels: tuple[str, ...]
    kept: int = KEPT

    def __post_init__(self) -> None:
        for name in self.modality.channels:
            _of(_UNITS, name)

    @property
    def latent(self) -> int:
        return self.kept * len(self.modality.channels)

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        expected = (self.modality.window, len(self.modality.channels))
        if tuple(windows.shape[1:]) != expected:
            raise ValueError(f"expected windows [n, *{expected}], got {tuple(windows.shape)}")
        amplitudes = torch.einsum("tk,ntc->nkc", self._basis, windows.to(torch.float32)) / self._scales
        return amplitudes.flatten(1).clamp(-LATENT_BOUND, LATENT_BOUND)

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND)
        amplitudes = bounded.unflatten(1, (self.kept, len(self.modality.channels)))
        return torch.einsum("tk,nkc->ntc", self._basis, amplitudes * self._scales)

    @property
    def _basis(self) -> Tensor:
        return dct_basis(self.modality.window, self.kept)

    @property
    def _scales(self) -> Tensor:
        """Orthonormal coefficients of a typical mean and typical cosines, `[kept, channels]`."""
        typical = torch.tensor([_of(_TYPICAL, name) for name in self.modality.channels])
        gains = torch.full((self.kept, 1), (self.modality.window / 2) ** 0.5)
        gains[0] = self.modality.window**0.5
        return gains * torch.cat([typical[:, :1], typical[:, 1:].expand(-1, self.kept - 1)], dim=1).T

    def arrays(self) -> dict[str, Tensor]:
        return {}

    def description(self) -> Description:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "kept": self.kept,
            "modality": modality_description(self.modality),
            "public_sha256": None,
            "public_origin": None,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        modality = bounds.modality(description)
        if modality.kind != "sensor":
            raise InputError(f"codec sensor is not for {modality.kind} data")
        kept = bounds.integer(description, "kept", 1, modality.window)
        return cls(modality, bounds.labels(description), kept)


def physical_units(modality: Modality) -> Tensor:
    """The public unit of each channel, `[channels]`: gravity in m/s^2, or 2 rad/s."""
    return torch.tensor([_of(_UNITS, name) for name in modality.channels])


def _of(table: Mapping[str, T], channel: str) -> T:
    for part, value in table.items():
        if part in channel.lower():
            return value
    raise InputError(f"channel {channel!r} is neither an accelerometer ('acc') nor a gyroscope ('gyr')")
