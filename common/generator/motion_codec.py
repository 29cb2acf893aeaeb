"""The codec of skeleton motion: one public transform and one public basis for each label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator.codec import (
    LATENT_BOUND,
    Codec,
    Description,
    modality_description,
    modality_from,
)
from common.generator.events import Event
from common.generator.fourier import Fourier
from common.generator.handed import Handed, Transform, sidedness
from common.motion.features import FEATURES, from_features, to_features
from common.motion.recording import SKELETON, Modality

MINIMUM: Final = 64
"""Public motions that a label needs for an entry of its own; below, it shares the pooled one."""

_FLOOR: Final = 0.05  # smallest scale, as a share of the second: rare directions must not explode
_LIMIT: Final = 1.5  # features further out than this factor of the public range are cut
_TRAVEL_WEIGHT: Final = (4.0, 6.0, 6.0)  # yaw, x, z per frame: small numbers that add up over a window
_TIMING_WEIGHT: Final = 4.0
_EQUALISE: Final = 0.7  # between principal components in metres (0) and of standardised coefficients (1)
_TRIED: Final = 384  # public motions looked at to choose a transform
_USED: Final = 4096  # and to fit an entry's basis
_ITERATIONS: Final = 8
_HANDED: Final = 0.5  # sidedness of all but one in twenty that makes an action one-sided


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

    def encode(self, features: Tensor) -> Tensor:
        weighted = (self.transform.forward(features) - self.mean) * self.weight
        return (weighted @ self.basis / self.scale).clamp(-LATENT_BOUND, LATENT_BOUND)

    def decode(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        bounded = latents.clamp(-LATENT_BOUND, LATENT_BOUND)
        coefficients = self.mean + (bounded * self.scale) @ self.basis.T / self.weight
        return self.transform.inverse(coefficients, generator)


@dataclass(frozen=True, eq=False)
class MotionCodec(Codec):
    """Joints `[n, 61, 22, 3]` to latents; `entries[of[label]]` serves a label, `of[-1]` none.

    `prior` `[labels + 1]` holds the public shares; `low` and `high` `[67]` bound what is decoded.
    """

    kind: ClassVar[str] = "motion"

    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    of: tuple[int, ...]
    prior: Tensor
    low: Tensor
    high: Tensor
    public_sha256: str
    modality: Modality = SKELETON

    def __post_init__(self) -> None:
        indices = range(len(self.entries))
        if len(self.of) != len(self.labels) + 1 or any(index not in indices for index in self.of):
            raise InputError("the codec's labels do not name its entries")

    @property
    def latent(self) -> int:
        return int(self.entries[0].scale.shape[0])

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        if windows.shape[1] != self.modality.window + 1:
            raise ValueError(f"expected {self.modality.window + 1} frames, got {windows.shape[1]}")
        latents = torch.full((len(windows), self.latent), torch.nan)
        features = to_features(windows)
        for entry, rows in self._groups(labels):
            latents[rows] = entry.encode(features[rows])
        return latents

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        features = torch.zeros(len(latents), self.modality.window, FEATURES)
        for entry, rows in self._groups(labels):
            features[rows] = entry.decode(latents[rows], generator)
        return from_features(features.clamp(self.low, self.high))

    def label_prior(self) -> Tensor:
        return self.prior

    def _groups(self, labels: Tensor) -> list[tuple[Entry, Tensor]]:
        own = torch.tensor(self.of)[labels]
        return [(entry, torch.nonzero(own == i)[:, 0]) for i, entry in enumerate(self.entries)]

    def arrays(self) -> dict[str, Tensor]:
        arrays = {"prior": self.prior, "low": self.low, "high": self.high}
        for i, entry in enumerate(self.entries):
            fields = {"mean": entry.mean, "weight": entry.weight, "basis": entry.basis, "scale": entry.scale}
            arrays |= {f"{i}/{name}": tensor.contiguous() for name, tensor in fields.items()}
        return arrays

    def description(self) -> Description:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "of": list(self.of),
            "transforms": [entry.transform.description() for entry in self.entries],
            "latent": self.latent,
            "modality": modality_description(self.modality),
            "public_sha256": self.public_sha256,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        modality = modality_from(description)
        entries = []
        for i, fields in enumerate(description["transforms"]):
            transform = transform_from(fields)
            parts = [arrays[f"{i}/{name}"] for name in ("mean", "weight", "basis", "scale")]
            entries.append(Entry(transform, *parts))
        return cls(
            labels=tuple(description["labels"]),
            entries=tuple(entries),
            of=tuple(description["of"]),
            prior=arrays["prior"],
            low=arrays["low"],
            high=arrays["high"],
            public_sha256=str(description["public_sha256"]),
            modality=modality,
        )


def transform_from(fields: Mapping[str, Any]) -> Transform:
    """The transform that its `description()` came from."""
    if fields["kind"] == Handed.kind:
        return Handed(transform_from(fields["inner"]))
    if fields["kind"] == Fourier.kind:
        return Fourier.from_description(fields)
    return Event.from_description(fields)


def _fit_entry(features: Tensor, latent: int) -> Entry:
    """The best transform for public `features` with its basis, by what its own Gaussian generates."""
    few = _spread(features, _TRIED)
    tried = [_principal(transform, few, latent) for transform in _candidates(few)]
    best = min(tried, key=lambda entry: _mismatch(entry, few))
    return _principal(best.transform, _spread(features, _USED), latent)


def _spread(features: Tensor, most: int) -> Tensor:
    """At most `most` rows, evenly spread."""
    count = min(len(features), most)
    return features[torch.arange(count) * len(features) // count]


def _candidates(features: Tensor) -> list[Transform]:
    frames, rate = features.shape[1], SKELETON.rate
    candidates: list[Transform] = [
        Fourier.fit(features, rate, slow=2, harmonics=4, envelope=1),
        Event(frames, path=24, pace=20, idle=0.25),
        Event(frames, path=24, pace=4, idle=1e6),
    ]
    if float(torch.quantile(sidedness(features).abs(), 0.05)) > _HANDED:
        return [Handed(transform) for transform in candidates]
    return candidates


def _principal(transform: Transform, features: Tensor, latent: int) -> Entry:
    """Weighted principal components of the public coefficients."""
    coefficients = transform.forward(features)
    channel = torch.ones(FEATURES)
    channel[:3] = torch.tensor(_TRAVEL_WEIGHT)
    weight = transform.weights(channel, _TIMING_WEIGHT)
    mean = coefficients.mean(dim=0)
    weighted = (coefficients - mean) * weight
    weight = weight * (weighted.std(dim=0) + 1e-3).pow(-_EQUALISE)
    basis, deviation = _axes((coefficients - mean) * weight, latent)
    scale = deviation.clamp_min(_FLOOR * float(deviation[1]))  # the first may be the side
    return Entry(transform, mean, weight, basis, scale)


def _axes(rows: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """The first `latent` principal axes `[width, latent]` of `rows` and their deviations.

    Orthogonal iteration (Halko et al., 2011, algorithm 4.4) from a fixed start.
    """
    start = torch.randn(rows.shape[1], latent + 16, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start)[0]
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(rows.T @ (rows @ basis))[0]
    _, spread, turn = torch.linalg.svd(rows @ basis, full_matrices=False)
    return (basis @ turn.T)[:, :latent].contiguous(), spread[:latent] / (len(rows) - 1) ** 0.5


def _mismatch(entry: Entry, features: Tensor) -> float:
    """How far statistics of the entry's own Gaussian are from those of `features`."""
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(len(features), entry.scale.shape[0], generator=random)
    real, drawn = _statistics(features), _statistics(entry.decode(latents, random))
    unit = real.std(dim=0) + 1e-3
    shift = (real.mean(dim=0) - drawn.mean(dim=0)) / unit
    spread = (real.std(dim=0) - drawn.std(dim=0)) / unit
    return float((shift.square() + spread.square()).mean())


def _statistics(features: Tensor) -> Tensor:
    """Posture and movement of each motion, `[n, 3 * 67]`."""
    change = features[:, 1:] - features[:, :-1]
    return torch.cat([features.mean(dim=1), features.std(dim=1), change.std(dim=1)], dim=1)


def _shares(labels: Tensor, count: int) -> Tensor:
    """Public shares of the labels `[count + 1]`; one that the corpus lacks counts as the average one."""
    counts = torch.bincount(labels[labels < count], minlength=count).to(torch.float32)
    if count == 0:
        return torch.ones(1)
    counts[counts == 0] = max(float(counts.mean()), 1.0)
    return torch.cat([counts / counts.sum(), torch.zeros(1)])


def _digest(windows: Tensor, labels: Tensor, label_names: Sequence[str]) -> str:
    digest = hashlib.sha256("|".join(label_names).encode())
    for tensor in (windows.to(torch.float32), labels.to(torch.int64)):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def fit_motion_codec(windows: Tensor, labels: Tensor, label_names: Sequence[str], latent: int) -> MotionCodec:
    """Fit on PUBLIC joints `[n, 61, 22, 3]` with `labels` `[n]` indices into `label_names`.

    `len(label_names)` in `labels` means no label. Labels with fewer public motions than 64 or
    twice `latent`, and motions without one, share an entry fitted on all public motions. Raises
    InputError for `latent` below 2 and for fewer than 64 motions.
    """
    if latent < 2:
        raise InputError(f"latent={latent}: the motion codec needs at least 2")
    features = to_features(windows)
    if len(features) < MINIMUM:
        raise InputError(f"the public corpus holds {len(features)} motions: at least {MINIMUM} are needed")
    groups = [features[labels == index] for index in range(len(label_names))]
    rich = [len(group) >= max(MINIMUM, 2 * latent) for group in groups]
    entries = [_fit_entry(group, latent) for group, own in zip(groups, rich, strict=True) if own]
    of = [sum(rich[:index]) if own else len(entries) for index, own in enumerate(rich)] + [len(entries)]
    entries.append(_fit_entry(features, latent))
    low, high = features.amin(dim=(0, 1)), features.amax(dim=(0, 1))
    middle, reach = (low + high) / 2, (high - low) / 2 * _LIMIT
    return MotionCodec(
        labels=tuple(label_names),
        entries=tuple(entries),
        of=tuple(of),
        prior=_shares(labels, len(label_names)),
        low=middle - reach,
        high=middle + reach,
        public_sha256=_digest(windows, labels, label_names),
    )
