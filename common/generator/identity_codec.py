"""The codec that compresses nothing: every feature frame is a latent frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from common.generator import bounds
from common.generator.codec import LATENT_BOUND, Codec, Description, modality_description
from common.generator.scale import Scale
from common.motion.recording import Modality


@dataclass(frozen=True, eq=False)
class IdentityCodec(Codec):
    """A sequence of latent frames: those of the window itself, over public units."""

    kind: ClassVar[str] = "identity"

    labels: tuple[str, ...]
    modality: Modality
    scale: Scale
    public_sha256: str | None = None
    public_origin: str | None = None

    @property
    def latent(self) -> int:
        return self.modality.window * self.scale.channels

    @property
    def frames(self) -> int:
        return self.modality.window

    @property
    def feature_units(self) -> tuple[Tensor, Tensor] | None:
        return (self.scale.mean, self.scale.unit) if self.modality.kind == "skeleton" else None

    def latent_lengths(self, lengths: Tensor) -> Tensor:
        return lengths

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        return self.scale.forward(self.modality, windows).flatten(1).clamp(-LATENT_BOUND, LATENT_BOUND)

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND)
        return self.scale.inverse(self.modality, bounded.unflatten(1, (self.frames, self.scale.channels)))

    def arrays(self) -> dict[str, Tensor]:
        return self.scale.arrays()

    def description(self) -> Description:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "modality": modality_description(self.modality),
            "public_sha256": self.public_sha256,
            "public_origin": self.public_origin,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        modality = bounds.modality(description)
        return cls(
            labels=bounds.labels(description),
            modality=modality,
            scale=Scale.from_arrays(modality, arrays),
            public_sha256=bounds.text(description, "public_sha256"),
            public_origin=bounds.text(description, "public_origin"),
        )
