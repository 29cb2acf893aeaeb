"""Which transform, and whether two, suits the public motions of a label."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from common.generator.entry import LEAST_SHARE, Choice, Entry, channel_weights, residual
from common.generator.events import Event
from common.generator.fourier import Fourier
from common.generator.handed import Handed, Transform, sidedness
from common.generator.principal import axes

MINIMUM: Final = 64
"""Public motions that an entry of its own needs; a label with fewer shares the pooled one."""

_FLOOR: Final = 0.05  # smallest scale, as a share of the second: rare directions must not explode
_TIMING_WEIGHT: Final = 4.0
_EQUALISE: Final = 0.7  # between principal components in metres (0) and of standardised coefficients (1)
_POOLED: Final = 0.0  # actions that differ by metres: what is small in all of them is small
_TRIED: Final = 384  # public motions looked at to choose a transform
_USED: Final = 4096  # and to fit an entry's basis
_HANDED: Final = 0.5  # sidedness of all but one in twenty that makes an action one-sided
_GAIN: Final = 0.9  # residual that a choice may leave at most, as a share of the better single one's
_CHOSEN: Final = 1024  # to choose for each of them
_TURNS: Final = 2
_FEWEST: Final = 2  # numbers that are too few to give one away for a choice


def fit_entry(features: Tensor, rate: float, latent: int, *, pooled: bool) -> Entry | Choice:
    """The best transform for public `features` with its basis, by what its own Gaussian generates.

    Or a choice between the periodic and the best other one for each motion, where either
    suits enough of the public motions and that leaves clearly less of them unsaid. `pooled`
    where the motions are of several labels.
    """
    equalise = _POOLED if pooled else _EQUALISE
    few = spread(features, _TRIED)
    tried = [principal(transform, few, latent, equalise) for transform in candidates(few, rate)]
    best = min(tried, key=lambda entry: mismatch(entry, few))
    used = spread(features, _USED)
    single = principal(best.transform, used, latent, equalise)
    if latent <= _FEWEST:
        return single
    other = min(tried[1:], key=lambda entry: mismatch(entry, few))
    some = spread(features, max(_CHOSEN, 8 * latent))
    choice = fit_choice(tried[0].transform, other.transform, some, latent, equalise)
    if choice is None or _left(choice, some) > _GAIN * _left(single, some):
        return single
    return choice


def fit_choice(
    first: Transform, second: Transform, features: Tensor, latent: int, equalise: float
) -> Choice | None:
    """Both entries, each fitted to the public motions that it suits better; None where one suits too few."""
    entries = [principal(transform, features, latent - 1, equalise) for transform in (first, second)]
    share = 0.5
    for _ in range(_TURNS):
        left = [residual(entry.restored(entry.encode(features), features), features) for entry in entries]
        chosen = left[0] <= left[1]
        share = float(chosen.float().mean())
        fewest = int(min(chosen.sum(), (~chosen).sum()))
        if fewest < max(MINIMUM, 2 * latent) or not LEAST_SHARE <= share <= 1 - LEAST_SHARE:
            return None
        entries = [
            principal(entry.transform, features[rows], latent - 1, equalise)
            for entry, rows in zip(entries, (chosen, ~chosen), strict=True)
        ]
    return Choice(entries[0], entries[1], share)


def spread(features: Tensor, most: int) -> Tensor:
    """At most `most` rows, evenly spread."""
    count = min(len(features), most)
    return features[torch.arange(count) * len(features) // count]


def candidates(features: Tensor, rate: float) -> list[Transform]:
    """The periodic transform, then those along the way and along time."""
    frames = features.shape[1]
    path, pace = round(0.4 * frames), round(frames / 3)
    found: list[Transform] = [
        Fourier.fit(features, rate, slow=2, harmonics=4, envelope=1),
        Event(frames, path=path, pace=pace, idle=0.25),
        Event(frames, path=path, pace=4, idle=1e6),
    ]
    if float(torch.quantile(sidedness(features).abs(), 0.05)) > _HANDED:
        return [Handed(transform) for transform in found]
    return found


def principal(transform: Transform, features: Tensor, latent: int, equalise: float = _EQUALISE) -> Entry:
    """Weighted principal components of the public coefficients."""
    coefficients = transform.forward(features)
    weight = transform.weights(channel_weights(), _TIMING_WEIGHT)
    mean = coefficients.mean(dim=0)
    weighted = (coefficients - mean) * weight
    weight = weight * (weighted.std(dim=0) + 1e-3).pow(-equalise)
    basis, deviation = axes((coefficients - mean) * weight, latent)
    scale = deviation.clamp_min(_FLOOR * float(deviation[:2][-1]))  # the first may be the side
    return Entry(transform, mean, weight, basis, scale)


def mismatch(entry: Entry | Choice, features: Tensor) -> float:
    """How far statistics of the entry's own Gaussian are from those of `features`."""
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(len(features), entry.latent, generator=random)
    real, drawn = _statistics(features), _statistics(entry.decode(latents, random))
    unit = real.std(dim=0) + 1e-3
    shift = (real.mean(dim=0) - drawn.mean(dim=0)) / unit
    width = (real.std(dim=0) - drawn.std(dim=0)) / unit
    return float((shift.square() + width.square()).mean())


def _statistics(features: Tensor) -> Tensor:
    """Posture and movement of each motion, `[n, 3 * 67]`."""
    change = features[:, 1:] - features[:, :-1]
    return torch.cat([features.mean(dim=1), features.std(dim=1), change.std(dim=1)], dim=1)


def _left(entry: Entry | Choice, features: Tensor) -> float:
    return float(residual(entry.restored(entry.encode(features), features), features).mean())
