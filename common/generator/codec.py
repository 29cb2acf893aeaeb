"""The public codec: windows to latents and back, the same at every site and at the coordinator.

A codec is fitted on public data or on none at all; it travels once, in the run's plan and in
checkpoints, as named tensors and a JSON description.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import sqrt
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.motion.recording import Modality

LATENT_BOUND: Final = 6.0
"""Latents are clamped to plus and minus this public bound."""

Description = dict[str, Any]
"""What JSON can hold."""


class Codec(ABC):
    """Windows `[n, ...]` to latents `[n, latent]` and back.

    Labels are indices into `labels`; `len(labels)` stands for a motion without a label.
    """

    kind: ClassVar[str]
    labels: tuple[str, ...]
    modality: Modality

    @property
    @abstractmethod
    def latent(self) -> int:
        """Numbers in one latent, the same for all labels."""

    @property
    def frames(self) -> int:
        """Frames of a latent that is a sequence, flattened frame by frame; 1 where it has no time."""
        return 1

    @property
    def channels(self) -> int:
        """Numbers in one frame of a latent."""
        return self.latent // self.frames

    @property
    def feature_units(self) -> tuple[Tensor, Tensor] | None:
        """Mean and unit `[67]` each, where a latent frame is a frame of features less mean, over unit."""
        return None

    def latent_lengths(self, lengths: Tensor) -> Tensor:
        """How many latent frames hold motion, int64, where so many frames of a window do."""
        return torch.ones_like(lengths)

    @abstractmethod
    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        """Windows to latents `[n, latent]` within the public bound, each row from that row alone.

        Skeleton windows are joints `[n, 61, 22, 3]` in metres, sensor windows
        `[n, 64, channels]` in physical units; `labels` is `[n]`, int64.
        """

    @abstractmethod
    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Latents `[n, latent]` to joints `[n, 60, 22, 3]` or sensor windows; `generator` draws phases."""

    @abstractmethod
    def arrays(self) -> dict[str, Tensor]:
        """All fitted tensors, by name."""

    @abstractmethod
    def description(self) -> Description:
        """All else, as JSON; its `kind` names the class, its `public_sha256` the corpus (or is None)."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """The codec that `arrays()` and `description()` came from."""

    def label_prior(self) -> Tensor:
        """Public chances of the labels and of none, `[labels + 1]`: equal ones unless fitted otherwise."""
        if not self.labels:
            return torch.ones(1)
        return torch.cat([torch.full((len(self.labels),), 1 / len(self.labels)), torch.zeros(1)])

    def label_index(self, label: str | None) -> int:
        """The index of `label`, `len(labels)` for None; an unknown one is an InputError."""
        if label is None:
            return len(self.labels)
        if label not in self.labels:
            known = ", ".join(self.labels) or "none: this generator has no labels"
            raise InputError(f"unknown label {label!r}: the vocabulary is {known}")
        return self.labels.index(label)


def modality_description(modality: Modality) -> Description:
    return {
        "kind": modality.kind,
        "rate": modality.rate,
        "window": modality.window,
        "channels": list(modality.channels),
    }


def dct_basis(frames: int, kept: int) -> Tensor:
    """The first `kept` cosines of the orthonormal DCT-II as columns, `[frames, kept]` float32."""
    time = (torch.arange(frames, dtype=torch.float64) + 0.5) * torch.pi / frames
    basis = torch.cos(time[:, None] * torch.arange(kept)) * sqrt(2 / frames)
    basis[:, 0] /= sqrt(2)
    return basis.to(torch.float32)
