"""Where candidates come from and how they vary: a public generator, procedural people, or a Gaussian.

A candidate is a row of numbers that are N(0, I) before anything is learnt, its code, and a latent
under a label. To vary codes of mean m and deviations d by a `degree` s in (0, 1) is
x -> m + sqrt(1 - s^2) (x - m) + s d z: they vary about what was learnt, and keep their spread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.diffusion import Preconditioning
from common.generator.samplers import ancestral, noise_levels
from common.motion.people import ACTIONS
from common.motion.population import PUBLIC_ALL
from common.motion.synonyms import action_of
from common.motion.traits import TRAITS, performed
from common.motion.windows import frames_per_window

STEPS: Final = 24
_AT_ONCE: Final = 256

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""D(x, sigma, labels): `[n, latent]`, a scalar tensor and `[n]` to `[n, latent]`."""

Learnt = tuple[Tensor, Tensor]
"""Means and deviations of codes, `[n, size]` each."""


class Source(ABC):
    """A public model of motions."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Numbers in one code."""

    @abstractmethod
    def latents(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Codes `[n, size]` under `labels` `[n]` to latents `[n, latent]`."""

    def begun(self, labels: Tensor, random: torch.Generator) -> Tensor:
        """Codes `[n, size]` of candidates before any vote."""
        return torch.randn(len(labels), self.size, generator=random)

    def varied(
        self, codes: Tensor, labels: Tensor, learnt: Learnt, degree: float, random: torch.Generator
    ) -> Tensor:
        """A variation of each code; `learnt` has a row for each of them."""
        mean, deviation = learnt
        fresh = deviation * torch.randn(codes.shape, generator=random)
        kept: Tensor = mean + (1 - degree**2) ** 0.5 * (codes - mean)
        return kept + degree * fresh


@dataclass(frozen=True)
class Prior(Source):
    """The codec's public prior N(0, I), whose codes are latents: for motions nobody can synthesise."""

    latent: int

    @property
    def size(self) -> int:
        return self.latent

    def latents(self, codes: Tensor, labels: Tensor) -> Tensor:
        return codes


@dataclass(frozen=True, eq=False)
class Denoised(Source):
    """A pre-trained denoiser, whose codes are latents: varied by noise of sigma = s / sqrt(1 - s^2),
    from which it draws anew (Meng et al., 2022, SDEdit), in at most `STEPS` ancestral steps.
    """

    latent: int
    row: Preconditioning
    denoise: Denoise

    @property
    def size(self) -> int:
        return self.latent

    def latents(self, codes: Tensor, labels: Tensor) -> Tensor:
        return codes

    def begun(self, labels: Tensor, random: torch.Generator) -> Tensor:
        noise = torch.randn(len(labels), self.latent, generator=random)
        return self._drawn(self.row.sigma_max * noise, labels, self.row.sigma_max, random)

    def varied(
        self, codes: Tensor, labels: Tensor, learnt: Learnt, degree: float, random: torch.Generator
    ) -> Tensor:
        sigma = min(max(degree / (1 - degree**2) ** 0.5, 2 * self.row.sigma_min), self.row.sigma_max)
        noised = codes + sigma * torch.randn(codes.shape, generator=random)
        return self._drawn(noised, labels, sigma, random)

    @torch.no_grad()
    def _drawn(self, noised: Tensor, labels: Tensor, sigma: float, random: torch.Generator) -> Tensor:
        levels = noise_levels(STEPS, self.row.sigma_min, sigma, self.row.spacing)
        parts = [
            self._ancestral(x, own, levels, random)
            for x, own in zip(noised.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True)
        ]
        return torch.cat(parts)

    def _ancestral(self, x: Tensor, labels: Tensor, levels: Tensor, random: torch.Generator) -> Tensor:
        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(x, sigma, labels)

        def noise() -> Tensor:
            return torch.randn(x.shape, generator=random)

        for now, after in pairwise(levels):
            x = ancestral(denoise, x, now, after, noise)
        return x


@dataclass(frozen=True)
class Performed(Source):
    """Procedural public people, whose codes are traits: who performs, and how.

    `spread` multiplies the deviations of the public population, so that people unlike it are among
    the candidates. A label that names none of our actions is performed by any of them, as is no label.
    The first number of a code says which. `digest` names the codec.
    """

    digest: str
    spread: float
    codec: Codec = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.codec.modality.kind != "skeleton":
            raise InputError(
                "source = people makes skeletons, and the motions are of another kind: set source = prior"
            )

    @property
    def size(self) -> int:
        return 1 + TRAITS

    def latents(self, codes: Tensor, labels: Tensor) -> Tensor:
        latents = torch.empty(len(codes), self.codec.latent)
        action = self._actions(codes, labels)
        pairs = torch.stack([action, labels], dim=1)
        for pair in torch.unique(pairs, dim=0):
            rows = torch.nonzero((pairs == pair).all(dim=1))[:, 0]
            for part in rows.split(_AT_ONCE):
                windows = self._windows(ACTIONS[int(pair[0])], codes[part, 1:])
                latents[part] = self.codec.encode(windows, labels[part])
        return latents

    def _actions(self, codes: Tensor, labels: Tensor) -> Tensor:
        """An index into `ACTIONS` for each candidate, `[n]`."""
        anything = (torch.special.ndtr(codes[:, 0]) * len(ACTIONS)).long().clamp_max(len(ACTIONS) - 1)
        named = [action_of(label) for label in self.codec.labels]
        own = torch.tensor([-1 if name is None else ACTIONS.index(name) for name in (*named, None)])[labels]
        return torch.where(own < 0, anything, own)

    def _windows(self, action: str, traits: Tensor) -> Tensor:
        time = np.arange(frames_per_window(self.codec.modality)) / self.codec.modality.rate
        joints = performed(PUBLIC_ALL, action, traits.numpy(), time, self.spread)
        return torch.from_numpy(joints.astype(np.float32))


def begin(source: Source, labels: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Codes and latents of candidates before any vote; synthesised ones are made once in a process."""
    return _once(source, labels, seed) if isinstance(source, Performed) else _begin(source, labels, seed)


def _begin(source: Source, labels: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    under = torch.tensor(labels)
    codes = source.begun(under, torch.Generator().manual_seed(seed))
    return codes, source.latents(codes, under)


@lru_cache(maxsize=4)
def _once(source: Performed, labels: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    return _begin(source, labels, seed)
