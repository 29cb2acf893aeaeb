"""The codec of skeleton motion: a public basis for each label, of one transform or a choice of two."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator import bounds
from common.generator.codec import Codec, Description, modality_description
from common.generator.corpus import digest
from common.generator.entry import Choice, Entry, Packed, entry_from
from common.generator.entry_fit import MINIMUM, fit_entry
from common.motion.features import FEATURES, from_features, to_features
from common.motion.recording import SKELETON, Modality

_LIMIT: Final = 1.5  # features further out than this factor of the public range are cut


@dataclass(frozen=True, eq=False)
class MotionCodec(Codec):
    """Joints `[n, window + 1, 22, 3]` to latents; `entries[of[label]]` serves a label, `of[-1]` none.

    `prior` `[labels + 1]` holds the public shares; `low` and `high` `[67]` bound what is decoded.
    """

    kind: ClassVar[str] = "structured"

    labels: tuple[str, ...]
    entries: tuple[Entry | Choice, ...]
    of: tuple[int, ...]
    prior: Tensor
    low: Tensor
    high: Tensor
    public_sha256: str
    public_origin: str | None = None
    modality: Modality = SKELETON

    def __post_init__(self) -> None:
        indices = range(len(self.entries))
        if len(self.of) != len(self.labels) + 1 or any(index not in indices for index in self.of):
            raise InputError("the codec's labels do not name its entries")

    @property
    def latent(self) -> int:
        return self.entries[0].latent

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        features = self._features(windows)
        latents = torch.full((len(windows), self.latent), torch.nan)
        for entry, rows in self._groups(labels):
            latents[rows] = entry.encode(features[rows])
        return latents

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        features = torch.zeros(len(latents), self.modality.window, FEATURES)
        for entry, rows in self._groups(labels):
            features[rows] = entry.decode(latents[rows], generator)
        return from_features(features.clamp(self.low, self.high))

    def reconstruct(self, windows: Tensor, labels: Tensor) -> Tensor:
        """Windows through latents and back, at their own phase, which `decode` draws: to measure with."""
        features = self._features(windows)
        back = torch.zeros_like(features)
        for entry, rows in self._groups(labels):
            back[rows] = entry.restored(entry.encode(features[rows]), features[rows])
        return from_features(back.clamp(self.low, self.high))

    def label_prior(self) -> Tensor:
        return self.prior

    def _features(self, windows: Tensor) -> Tensor:
        if windows.shape[1] != self.modality.window + 1:
            raise ValueError(f"expected {self.modality.window + 1} frames, got {windows.shape[1]}")
        return to_features(windows)

    def _groups(self, labels: Tensor) -> list[tuple[Entry | Choice, Tensor]]:
        own = torch.tensor(self.of)[labels]
        return [(self.entries[i], torch.nonzero(own == i)[:, 0]) for i in torch.unique(own).tolist()]

    def arrays(self) -> dict[str, Tensor]:
        entries = Packed.pack([array for entry in self.entries for array in entry.arrays()])
        return {"prior": self.prior, "low": self.low, "high": self.high, "entries": entries}

    def description(self) -> Description:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "of": list(self.of),
            "entries": [entry.description() for entry in self.entries],
            "latent": self.latent,
            "modality": modality_description(self.modality),
            "public_sha256": self.public_sha256,
            "public_origin": self.public_origin,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        modality, labels = bounds.modality(description), bounds.labels(description)
        if modality.kind != "skeleton":
            raise InputError("codec structured is not for sensors")
        latent = bounds.integer(description, "latent", 2, bounds.MOST_LATENT)
        described, of = description["entries"], description["of"]
        if not isinstance(described, list) or not 1 <= len(described) <= len(labels) + 1:
            raise InputError("the codec's entries must be a list of 1 to one more than its labels")
        if not isinstance(of, list) or any(type(index) is not int for index in of):
            raise InputError("the codec's labels do not name its entries")
        flat = arrays["entries"]
        packed = Packed(bounds.tensor(arrays, "entries", flat.numel()))
        entries = tuple(entry_from(fields, latent, modality.window, packed) for fields in described)
        if not packed.done:
            raise InputError("the codec's array entries is longer than its entries")
        return cls(
            labels=labels,
            entries=entries,
            of=tuple(of),
            prior=bounds.tensor(arrays, "prior", len(labels) + 1),
            low=bounds.tensor(arrays, "low", FEATURES),
            high=bounds.tensor(arrays, "high", FEATURES),
            public_sha256=str(bounds.text(description, "public_sha256")),
            public_origin=bounds.text(description, "public_origin"),
            modality=modality,
        )


def _shares(labels: Tensor, count: int) -> Tensor:
    """Public shares of the labels `[count + 1]`; one that the corpus lacks counts as the average one."""
    counts = torch.bincount(labels[labels < count], minlength=count).to(torch.float32)
    if count == 0:
        return torch.ones(1)
    counts[counts == 0] = max(float(counts.mean()), 1.0)
    return torch.cat([counts / counts.sum(), torch.zeros(1)])


def fit_motion_codec(
    windows: Tensor,
    labels: Tensor,
    label_names: Sequence[str],
    latent: int,
    *,
    modality: Modality = SKELETON,
    origin: str | None = None,
) -> MotionCodec:
    """Fit on PUBLIC joints `[n, window + 1, 22, 3]` with `labels` `[n]` indices into `label_names`.

    `len(label_names)` in `labels` means no label. Labels with fewer public motions than 64 or
    twice `latent`, and motions without one, share an entry fitted on all public motions. Raises
    InputError for `latent` below 2 and for fewer motions than 64.
    """
    if latent < 2:
        raise InputError(f"latent={latent}: the structured codec needs at least 2")
    features = to_features(windows)
    if len(features) < MINIMUM:
        raise InputError(f"the public corpus holds {len(features)} motions: at least {MINIMUM} are needed")
    groups = [features[labels == index] for index in range(len(label_names))]
    rich = [len(group) >= max(MINIMUM, 2 * latent) for group in groups]
    own = [
        fit_entry(group, modality.rate, latent, pooled=False) for group in itertools.compress(groups, rich)
    ]
    of = [sum(rich[:index]) if single else sum(rich) for index, single in enumerate(rich)] + [sum(rich)]
    low, high = features.amin(dim=(0, 1)), features.amax(dim=(0, 1))
    middle, reach = (low + high) / 2, (high - low) / 2 * _LIMIT
    return MotionCodec(
        labels=tuple(label_names),
        entries=(*own, fit_entry(features, modality.rate, latent, pooled=True)),
        of=tuple(of),
        prior=_shares(labels, len(label_names)),
        low=middle - reach,
        high=middle + reach,
        public_sha256=digest(windows, labels, label_names),
        public_origin=origin,
        modality=modality,
    )
