"""One release of the first two moments of latents for each action, and a generator of those Gaussians.

The plainest thing that can be released about motions under differential privacy: the honest baseline
of every table. A site answers with the sum over people of the mean over their motions of
e_y (x) [1, x / sqrt(l), vech(x x^T - I) / l] (l the latent's length; e_y the action), so that a person's
norm is about 1.5 whatever they do. The server divides, shrinks what the noise outweighs towards the
public prior N(0, I), and trains the shared denoiser on draws from the Gaussians: post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from common.generator.assets import under
from common.generator.design import choice, number
from common.generator.fit import FittedGenerator
from common.generator.generator import Generator
from common.generator.smoothing import spread
from common.method import Prospect, PublicState, UserBatch, UserRandom, Usual, VectorMethod
from common.vector import Vector

_LEAST, _MOST = 0.02, 4.0  # eigenvalues of a covariance, of latents whose variance is about 1
_RARE = 2.0  # an action is seen where its share is so many deviations of the noise


@dataclass(frozen=True, kw_only=True)
class Moments(FittedGenerator, VectorMethod):
    """Gaussians of latents by action.

    `motions`: sequences of one person at most. `covariance`: `full`, or `diagonal`, whose release is
    shorter by a factor of about half the latent.
    """

    name: ClassVar[str] = "moments"
    training: ClassVar[frozenset[str]] = FittedGenerator.training | {"motions", "covariance", "total_rounds"}
    usual: ClassVar[Usual] = Usual(rounds=1, sampling_rate=1.0, clip_norm=1.5, most_rounds=1)

    prospect: ClassVar[Prospect] = Prospect(least=0.13, most=1.0, half=0.35)

    motions: int = number(16, 1, 1024)
    covariance: str = choice("full", "full", "diagonal")
    total_rounds: int = number(1, 1, 10_000_000)

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        """Rows and columns of the entries of a covariance that are released."""
        size = self.assets.codec.latent
        if self.covariance == "diagonal":
            return torch.arange(size), torch.arange(size)
        rows, columns = torch.triu_indices(size, size)
        return rows, columns

    @property
    def _width(self) -> int:
        return 1 + self.assets.codec.latent + len(self._pairs[0])

    @property
    def dimension(self) -> int:
        return (len(self.assets.codec.labels) + 1) * self._width

    def init(self, seed: int) -> PublicState:
        start = {f"denoiser/{name}": value for name, value in self.start(seed).items()}
        return PublicState(0, {**start, "seed": torch.tensor(seed)})

    def broadcast(self, state: PublicState) -> PublicState:
        return PublicState(state.round)

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return {}

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        return {"latents": users.latents, "labels": users.condition.labels, "mask": users.mask}

    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        x, mask = examples["latents"], examples["mask"]
        size = x.shape[-1]
        rows, columns = (index.to(x.device) for index in self._pairs)
        second = x[..., rows] * x[..., columns] - (rows == columns).to(x.dtype)
        phi = torch.cat([torch.ones_like(x[..., :1]), x / math.sqrt(size), second / size], dim=-1)
        shares = mask / mask.sum(dim=1, keepdim=True).clamp_min(1)
        placed = one_hot(examples["labels"], len(self.assets.codec.labels) + 1) * shares[..., None]
        phi = torch.where(mask[..., None], phi, 0.0)
        return torch.einsum("uml,umf->ulf", placed, phi).flatten(1)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        shares, means, factors = self._gaussians(mean.reshape(-1, self._width).double(), noise)

        def draw(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
            labels = torch.multinomial(shares, count, replacement=True, generator=random)
            z = torch.randn(count, means.shape[1], generator=random)
            return means[labels] + spread(z, factors, labels), labels

        seed = int(state.arrays["seed"])
        found = self.fitted(draw, under("denoiser/", state.arrays), seed)
        arrays = {f"denoiser/{name}": value for name, value in found.items()}
        return PublicState(state.round + 1, {**arrays, "seed": state.arrays["seed"]})

    def _gaussians(self, released: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
        """Shares `[labels + 1]`, means `[labels + 1, latent]` and factors of covariances."""
        size = self.assets.codec.latent
        shares = torch.where(released[:, 0] > _RARE * noise, released[:, 0], 0.0)
        if not bool(shares.any()):
            shares = self.assets.codec.label_prior().double()
        counted = released[:, :1].clamp_min(max(noise, 1e-9))
        rows, columns = self._pairs
        scale = math.sqrt(size)
        means = _kept(released[:, 1 : 1 + size] / counted * scale, scale * noise / counted)
        second = released[:, 1 + size :] / counted * size
        moments = torch.zeros(len(released), size, size, dtype=torch.float64)
        moments[:, rows, columns] = second
        moments[:, columns, rows] = second
        outer = means[:, :, None] * means[:, None, :]
        if self.covariance == "diagonal":
            outer = torch.diag_embed(means.square())
        excess = (moments - outer).flatten(1)
        excess = _kept(excess, size * noise / counted).unflatten(1, (size, size))
        values, vectors = torch.linalg.eigh(excess + torch.eye(size, dtype=torch.float64))
        factors = vectors * values.clamp(_LEAST, _MOST).sqrt()[:, None, :]
        return shares.float(), means.float(), factors.float()

    def generator(self, state: PublicState) -> Generator:
        return self.generator_of(under("denoiser/", state.arrays))


def _kept(found: Tensor, noise: Tensor) -> Tensor:
    """`found` `[n, d]` shrunk towards 0 as one vector each, whose coordinates carry `noise` `[n, 1]`.

    James and Stein (1961), the positive part: nothing is left of what the noise explains.
    """
    size = found.shape[1]
    squares = found.square().sum(dim=1, keepdim=True).clamp_min(1e-30)
    return found * (1 - max(size - 2, 0) * noise.square() / squares).clamp_min(0.0)
