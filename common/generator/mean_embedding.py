"""One release of mean features of latents by label, and a generator whose motions have them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from common.generator.assets import under
from common.generator.codec import LATENT_BOUND
from common.generator.design import number
from common.generator.fit import FittedGenerator, resampled
from common.generator.generator import Generator
from common.generator.moved import Movement, Weights
from common.generator.samplers import Sampler, noise_levels
from common.method import PublicState, UserBatch, UserRandom, Usual, VectorMethod
from common.vector import Vector

_MASS = 0.25  # of a motion's vector, what says only that it is there
_REST = math.sqrt(1 - _MASS**2)
_AT_ONCE = 128  # latents that are drawn from the public base together
_RARE = 2.0  # an action is seen where its share is so many deviations of the noise


@dataclass(frozen=True, kw_only=True)
class MeanEmbedding(FittedGenerator, VectorMethod):
    """u = mean over a person's motions of e_y (x) [m, sqrt(1 - m^2) phi(x)], for public features phi.

    A concrete method says what phi is. The server divides by nothing but public constants, moves public
    latents of each action until their mean features are the released ones (`common.generator.moved`), and
    trains the shared denoiser on those.

    `motions`: sequences of one person at most. `points`: latents that are moved, over all actions.
    `move_steps`, `move_rate`: of their movement; it ends sooner where the noise explains the rest.
    """

    training: ClassVar[frozenset[str]] = FittedGenerator.training | {
        "motions", "points", "move_steps", "move_rate", "total_rounds"
    }  # fmt: skip
    usual: ClassVar[Usual] = Usual(rounds=1, sampling_rate=1.0, clip_norm=0.5, most_rounds=1)

    motions: int = number(16, 1, 1024)
    points: int = number(2000, 16, 1_000_000)
    move_steps: int = number(400, 1, 1_000_000)
    move_rate: float = number(0.05, 1e-6, 10.0)
    total_rounds: int = number(1, 1, 10_000_000)

    @property
    @abstractmethod
    def size(self) -> int:
        """Numbers in phi."""

    @abstractmethod
    def drawn_features(self, seed: int) -> dict[str, Tensor]:
        """The public arrays of phi; they travel with the round."""

    @abstractmethod
    def features(self, arrays: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        """phi of latents `[..., latent]` and their `labels` `[...]`: `[..., size]`, of norm about 1."""

    def weights(self, arrays: Mapping[str, Tensor], noise: float) -> Weights | None:
        """What features weigh while points move; None: all alike."""
        return None

    @property
    def _labels(self) -> int:
        return len(self.assets.codec.labels) + 1

    @property
    def dimension(self) -> int:
        return self._labels * (1 + self.size)

    def init(self, seed: int) -> PublicState:
        start = {f"denoiser/{name}": value for name, value in self.start(seed).items()}
        drawn = {f"features/{name}": value for name, value in self.drawn_features(seed).items()}
        return PublicState(0, {**start, **drawn, "seed": torch.tensor(seed)})

    def broadcast(self, state: PublicState) -> PublicState:
        kept = {name: value for name, value in state.arrays.items() if name.startswith("features/")}
        return PublicState(state.round, kept)

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return under("features/", state.arrays)

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        return {"latents": users.latents, "labels": users.condition.labels, "mask": users.mask}

    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        x, labels, mask = (examples[name] for name in ("latents", "labels", "mask"))
        phi = _REST * self.features(parameters, x, labels)
        phi = torch.cat([torch.full_like(phi[..., :1], _MASS), phi], dim=-1)
        shares = mask / mask.sum(dim=1, keepdim=True).clamp_min(1)
        placed = one_hot(labels, self._labels) * shares[..., None]
        phi = torch.where(mask[..., None], phi, 0.0)
        return torch.einsum("uml,umf->ulf", placed, phi).flatten(1)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        released = mean.reshape(self._labels, 1 + self.size).float()
        seed = int(state.arrays["seed"])
        points, labels, weights = self.synthetic(self.parameters(state), released, noise, seed)
        start = under("denoiser/", state.arrays)
        found = self.fitted(resampled(points, labels, weights), start, seed)
        arrays = {f"denoiser/{name}": value for name, value in found.items()}
        return PublicState(state.round + 1, {**state.arrays, **arrays})

    def synthetic(
        self, arrays: Mapping[str, Tensor], released: Tensor, noise: float, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Points `[n, latent]`, labels and weights `[n]`; public ones for a label nobody is seen in."""
        shares, prior = released[:, 0] / _MASS, self.assets.codec.label_prior()
        seen = shares > _RARE * noise / _MASS
        wanted = torch.nonzero(seen | (prior > 0))[:, 0]
        count = max(1, self.points // len(wanted))
        points = self.public_points(wanted.repeat_interleave(count), seed).unflatten(0, (len(wanted), count))
        told = wanted[seen[wanted]]
        if len(told):
            points[seen[wanted]] = Movement(
                steps=self.move_steps, rate=self.move_rate, bound=LATENT_BOUND
            ).moved(
                points[seen[wanted]],
                told,
                released[told, 1:] / _REST,
                shares[told],
                lambda x, labels: self.features(arrays, x, labels),
                noise / _REST,
                self.weights(arrays, noise),
            )
        weights = torch.where(seen, shares, prior)[wanted] / count
        return points.flatten(0, 1), wanted.repeat_interleave(count), weights.repeat_interleave(count)

    def public_points(self, labels: Tensor, seed: int) -> Tensor:
        """Latents `[n, latent]` that nobody contributed to: of the public base, else of N(0, I)."""
        random = torch.Generator().manual_seed(seed)
        if not self.assets.base:
            return torch.randn(len(labels), self.assets.codec.latent, generator=random)
        with torch.no_grad():
            return torch.cat([self._of_base(part, random) for part in labels.split(_AT_ONCE)])

    def _of_base(self, labels: Tensor, random: torch.Generator) -> Tensor:
        row, condition, sampler = self.diffusion.preconditioning, self.condition_of(labels), Sampler()
        levels = noise_levels(sampler.steps, row.sigma_min, row.sigma_max, row.spacing)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            wide = sigma.expand(len(x))
            return self.diffusion.denoised(self.network, self.assets.base, x, wide, condition)

        return sampler.draw(denoise, (len(labels), self.assets.codec.latent), levels, random)

    def generator(self, state: PublicState) -> Generator:
        return self.generator_of(under("denoiser/", state.arrays))
