"""The codec of images: the lowest frequencies of a 2-D DCT over public constants, fitted on nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import LATENT_BOUND, Codec, Description, dct_basis, modality_description
from common.motion.image import BRIGHTNESS, CONTRAST
from common.motion.recording import Modality

KEPT: Final = 14
"""Cosines kept along each side: half the resolution of an image of 28 x 28 pixels."""


@dataclass(frozen=True, eq=False)
class ImageCodec(Codec):
    """Images `[n, rows, columns]` in 0..1 to `[n, kept * kept]`: what is finer than `kept` cosines is lost.

    A latent is a cosine's amplitude over what a picture lets expect: amplitudes that fall with the
    frequency f as 1 / sqrt(1 + f^2) (the 1/f of natural images: Field 1987), scaled so that all
    of them together give a pixel the deviation `CONTRAST` around `BRIGHTNESS`.
    """

    kind: ClassVar[str] = "image"

    modality: Modality
    labels: tuple[str, ...]
    kept: int = KEPT

    def __post_init__(self) -> None:
        rows, columns = self.modality.window, len(self.modality.channels)
        if self.kept > min(rows, columns):
            raise InputError(
                f"codec image keeps {self.kept} cosines a side, and an image has {rows} x {columns}"
            )

    @property
    def latent(self) -> int:
        return self.kept**2

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        expected = (self.modality.window, len(self.modality.channels))
        if tuple(windows.shape[1:]) != expected:
            raise ValueError(f"expected images [n, *{expected}], got {tuple(windows.shape)}")
        down, across = self._bases
        pixels = windows.to(torch.float32) - BRIGHTNESS
        amplitudes = torch.einsum("ru,nrc,cv->nuv", down, pixels, across) / self._scales
        return amplitudes.flatten(1).clamp(-LATENT_BOUND, LATENT_BOUND)

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        down, across = self._bases
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND).unflatten(1, (self.kept, self.kept))
        pixels = torch.einsum("ru,nuv,cv->nrc", down, bounded * self._scales, across)
        return (pixels + BRIGHTNESS).clamp(0.0, 1.0)

    @cached_property
    def _bases(self) -> tuple[Tensor, Tensor]:
        """Cosines along rows and along columns, `[rows, kept]` and `[columns, kept]`."""
        return dct_basis(self.modality.window, self.kept), dct_basis(len(self.modality.channels), self.kept)

    @cached_property
    def _scales(self) -> Tensor:
        """Orthonormal amplitudes to expect, `[kept, kept]`; over all frequencies their squares add up."""
        rows, columns = self.modality.window, len(self.modality.channels)
        f = torch.sqrt(torch.arange(rows)[:, None] ** 2 + torch.arange(columns) ** 2.0)
        expected = 1 / (1 + f**2)
        variance = rows * columns * CONTRAST**2 * expected / expected.sum()
        return variance.sqrt()[: self.kept, : self.kept]

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
        if modality.kind != "image":
            raise InputError(f"codec image is not for {modality.kind} data")
        most = min(modality.window, len(modality.channels))
        return cls(modality, bounds.labels(description), bounds.integer(description, "kept", 1, most))
