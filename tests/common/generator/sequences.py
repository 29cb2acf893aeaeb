"""A codec whose latents are frames, and people with motions of different lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from common.generator.codec import Codec, Description
from common.generator.condition import Condition
from common.motion.recording import Modality


@dataclass(frozen=True, eq=False)
class FramesCodec(Codec):
    """Windows are their latents, frame by frame; `feature_units` are what it is told."""

    kind: ClassVar[str] = "frames"

    labels: tuple[str, ...]
    modality: Modality
    units: tuple[Tensor, Tensor] | None = None

    @property
    def latent(self) -> int:
        return self.modality.window * len(self.modality.channels)

    @property
    def frames(self) -> int:
        return self.modality.window

    @property
    def feature_units(self) -> tuple[Tensor, Tensor] | None:
        return self.units

    def latent_lengths(self, lengths: Tensor) -> Tensor:
        return lengths

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        return windows.flatten(1)

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        windows: Tensor = latents.unflatten(1, (self.frames, -1))
        return windows

    def arrays(self) -> dict[str, Tensor]:
        return {}

    def description(self) -> Description:
        return {"kind": self.kind}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        raise NotImplementedError


def frames_codec(frames: int, channels: int, labels: tuple[str, ...] = ("a", "b")) -> FramesCodec:
    names = tuple(f"c{i}" for i in range(channels))
    return FramesCodec(labels, Modality(kind="sensor", rate=20.0, window=frames, channels=names))


def conditions(lengths: list[int], text: int = 0, seed: int = 0) -> Condition:
    """One condition for each length, under labels 0 to 2 and embeddings of norm 1."""
    random = torch.Generator().manual_seed(seed)
    words = torch.randn(len(lengths), text, generator=random)
    words = words / words.norm(dim=1, keepdim=True) if text else words
    return Condition(torch.randint(3, (len(lengths),), generator=random), words, torch.tensor(lengths))


def shaken(start: Mapping[str, Tensor], by: float = 0.3, seed: int = 1) -> dict[str, Tensor]:
    """Parameters somewhere else than where training begins."""
    random = torch.Generator().manual_seed(seed)
    return {name: value + by * torch.randn(value.shape, generator=random) for name, value in start.items()}
