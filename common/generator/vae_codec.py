"""A convolutional VAE trained on public motion (`simulations/train_vae.py`): any skeleton motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import LATENT_BOUND, Codec, Description, modality_description
from common.generator.conv_vae import STRIDE, ConvVae
from common.generator.scale import Scale
from common.motion.features import FEATURES
from common.motion.recording import Modality

WIDTH: Final = 128
CHANNELS: Final = 16
_WIDEST: Final = 512
_NETWORK: Final = "network/"


@dataclass(frozen=True, eq=False)
class VaeCodec(Codec):
    """A sequence of one latent frame for every four frames: the encoder's mean, no draw in it.

    latent = (mean - centre) / spread with the public `centre` and `spread` `[channels]`; `network`
    holds the weights of a `ConvVae` of `width`.
    """

    kind: ClassVar[str] = "vae"

    labels: tuple[str, ...]
    modality: Modality
    scale: Scale
    width: int
    network: Mapping[str, Tensor]
    centre: Tensor
    spread: Tensor
    public_sha256: str
    public_origin: str | None = None

    def __post_init__(self) -> None:
        if self.modality.kind != "skeleton":
            raise InputError("codec vae is for skeletons: choose sensor, pca or identity for sensors")

    @property
    def latent(self) -> int:
        return self.frames * len(self.centre)

    @property
    def frames(self) -> int:
        return -(-self.modality.window // STRIDE)

    def latent_lengths(self, lengths: Tensor) -> Tensor:
        return torch.div(lengths + STRIDE - 1, STRIDE, rounding_mode="floor")

    @torch.no_grad()
    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        mean, _ = self._vae.encode(self.scale.forward(self.modality, windows))
        return ((mean - self.centre) / self.spread).flatten(1).clamp(-LATENT_BOUND, LATENT_BOUND)

    @torch.no_grad()
    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND).unflatten(1, (self.frames, -1))
        frames = self._vae.decode(bounded * self.spread + self.centre)
        return self.scale.inverse(self.modality, frames[:, : self.modality.window])

    @cached_property
    def _vae(self) -> ConvVae:
        with torch.device("meta"):
            vae = ConvVae(FEATURES, self.width, len(self.centre))
        vae.load_state_dict(dict(self.network), assign=True)
        return vae

    def arrays(self) -> dict[str, Tensor]:
        own = {"centre": self.centre, "spread": self.spread} | self.scale.arrays()
        return own | {f"{_NETWORK}{name}": weight for name, weight in self.network.items()}

    def description(self) -> Description:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "width": self.width,
            "latent_channels": len(self.centre),
            "modality": modality_description(self.modality),
            "public_sha256": self.public_sha256,
            "public_origin": self.public_origin,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        modality = bounds.modality(description)
        width = bounds.integer(description, "width", 1, _WIDEST)
        channels = bounds.integer(description, "latent_channels", 1, bounds.MOST_CHANNELS)
        with torch.device("meta"):
            expected = ConvVae(FEATURES, width, channels).state_dict()
        network = {
            name: bounds.tensor(arrays, f"{_NETWORK}{name}", *weight.shape)
            for name, weight in expected.items()
        }
        return cls(
            labels=bounds.labels(description),
            modality=modality,
            scale=Scale.from_arrays(modality, arrays),
            width=width,
            network=network,
            centre=bounds.tensor(arrays, "centre", channels),
            spread=bounds.positive(bounds.tensor(arrays, "spread", channels), "spread"),
            public_sha256=str(bounds.text(description, "public_sha256")),
            public_origin=bounds.text(description, "public_origin"),
        )
