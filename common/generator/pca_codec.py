"""Principal components of whole public windows: the plain linear codec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import LATENT_BOUND, Codec, Description, modality_description
from common.generator.principal import axes
from common.generator.scale import Scale
from common.motion.recording import Modality

_FLOOR: Final = 0.02  # smallest scale, as a share of the first
_USED: Final = 8192


@dataclass(frozen=True, eq=False)
class PcaCodec(Codec):
    """latent = V^T (frames - middle) / spread over the frames of a window, flattened.

    Root travel is a velocity in the frames: over positions, one straight walk would take most
    components. `middle` is `[window * channels]`, `basis` V `[window * channels, latent]`.
    """

    kind: ClassVar[str] = "pca"

    labels: tuple[str, ...]
    modality: Modality
    scale: Scale
    middle: Tensor
    basis: Tensor
    spread: Tensor
    public_sha256: str
    public_origin: str | None = None

    @property
    def latent(self) -> int:
        return len(self.spread)

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        rows = self.scale.forward(self.modality, windows).flatten(1) - self.middle
        return (rows @ self.basis / self.spread).clamp(-LATENT_BOUND, LATENT_BOUND)

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND)
        rows = self.middle + (bounded * self.spread) @ self.basis.T
        return self.scale.inverse(
            self.modality, rows.unflatten(1, (self.modality.window, self.scale.channels))
        )

    def arrays(self) -> dict[str, Tensor]:
        own = {"middle": self.middle, "basis": self.basis, "spread": self.spread}
        return own | self.scale.arrays()

    def description(self) -> Description:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "latent": self.latent,
            "modality": modality_description(self.modality),
            "public_sha256": self.public_sha256,
            "public_origin": self.public_origin,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        modality = bounds.modality(description)
        scale = Scale.from_arrays(modality, arrays)
        width = modality.window * scale.channels
        latent = bounds.integer(description, "latent", 1, bounds.MOST_LATENT)
        return cls(
            labels=bounds.labels(description),
            modality=modality,
            scale=scale,
            middle=bounds.tensor(arrays, "middle", width),
            basis=bounds.tensor(arrays, "basis", width, latent),
            spread=bounds.positive(bounds.tensor(arrays, "spread", latent), "spread"),
            public_sha256=str(bounds.text(description, "public_sha256")),
            public_origin=bounds.text(description, "public_origin"),
        )


def fit_pca(
    windows: Tensor,
    modality: Modality,
    label_names: tuple[str, ...],
    latent: int,
    *,
    sha256: str,
    origin: str,
) -> PcaCodec:
    """Fit on PUBLIC `windows`; InputError where they are fewer than twice `latent`."""
    if len(windows) < 2 * latent:
        raise InputError(
            f"the public corpus has {len(windows)} windows: a PCA of {latent} needs at least {2 * latent};"
            " lower latent, or add public motions"
        )
    count = min(len(windows), _USED)
    windows = windows[torch.arange(count) * len(windows) // count]
    scale = Scale.fit(modality, windows)
    rows = scale.forward(modality, windows).flatten(1)
    middle = rows.mean(dim=0)
    basis, spread = axes(rows - middle, min(latent, rows.shape[1]))
    return PcaCodec(
        labels=label_names,
        modality=modality,
        scale=scale,
        middle=middle,
        basis=basis,
        spread=spread.clamp_min(_FLOOR * float(spread[0])),
        public_sha256=sha256,
        public_origin=origin,
    )
