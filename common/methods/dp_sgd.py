"""User-level DP-SGD on the latent diffusion denoiser, with noise multiplicity as in DPDM.

Dockhorn et al., "Differentially private diffusion models" (TMLR 2023): the loss of one person
averages over K noise levels and draws before clipping, which costs computation and no privacy.
Here it also averages over the person's sequences of the round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from common.generator.adam import ADAM
from common.generator.assets import under
from common.generator.design import choice, number
from common.generator.generator import Generator
from common.generator.objective import Objective, masked_mean
from common.generator.samplers import MOST_STEPS, SAMPLERS, Sampler
from common.generator.shared import SharedGenerator
from common.generator.trainable import CHOICES, Trainable
from common.method import GradientMethod, Prospect, PublicState, UserBatch, UserRandom
from common.vector import Layout, Vector


@dataclass(frozen=True, kw_only=True)
class DPSGD(SharedGenerator, GradientMethod):
    """Training of a denoiser on codec latents; Adam and EMA run on releases only.

    `motions`: sequences of one person a round at most. `replicas`: noise draws K a sequence.
    `learning_rate`: of Adam, falling to zero over `total_rounds` as half a cosine.
    `local_rate`: of a site's own plain gradient step. `ema`: decay of the averaged parameters.
    `sampler`, `sampler_steps`, `S_churn`, `S_min`: how the generator draws unless told otherwise
    (`common.generator.samplers.Sampler`). `train`, `rank`: the part that is trained
    (common/generator/trainable.py); the rest is the assets' base and never travels again.
    """

    name: ClassVar[str] = "dp_sgd"
    training: ClassVar[frozenset[str]] = (
        frozenset(
            (
                "motions",
                "replicas",
                "learning_rate",
                "local_rate",
                "ema",
                "total_rounds",
                "train",
                "rank",
                "sampler",
                "sampler_steps",
                "S_churn",
                "S_min",
            )
        )
        | SharedGenerator.training
    )

    prospect: ClassVar[Prospect] = Prospect(least=0.1, most=1.2, half=0.9)

    motions: int = number(4, 1, 1024)
    replicas: int = number(8, 1, 256)
    learning_rate: float = number(2e-2, 1e-7, 1.0)
    local_rate: float = number(0.1, 1e-7, 1e3)
    ema: float = number(0.95, 0.0, 0.99999)
    total_rounds: int = number(200, 1, 10_000_000)
    sampler: str = choice("churn", *SAMPLERS)
    sampler_steps: int = number(24, 2, MOST_STEPS)
    S_churn: float = number(5.0, 0.0, 1000.0)
    S_min: float = number(0.05, 0.0, 80.0)
    train: str = choice("all", *CHOICES)
    rank: int = number(4, 1, 256)

    @cached_property
    def objective(self) -> Objective:
        return self.objective_of(self.assets, self.trainable, self.replicas)

    @cached_property
    def trainable(self) -> Trainable:
        return Trainable(self.network, self.assets.base, self.train, self.rank)

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self.trainable.init(0))

    @property
    def dimension(self) -> int:
        return self.layout.dimension

    def init(self, seed: int) -> PublicState:
        return PublicState(0, ADAM.start(self.trainable.init(seed)))

    def broadcast(self, state: PublicState) -> PublicState:
        parameters = self.parameters(state)
        return PublicState(state.round, {f"parameters/{name}": value for name, value in parameters.items()})

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return under("parameters/", state.arrays)

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        count = users.latents.shape[1]
        condition = users.condition
        if self.label_dropout > 0:
            dropped = rng.uniform(count) < self.label_dropout
            condition = condition.dropped(dropped, len(self.assets.codec.labels))
        drawn = self.objective.draw(count, rng)
        return {"latents": users.latents, **condition._asdict(), "mask": users.mask, **drawn}

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        return masked_mean(self.objective.losses(parameters, examples), examples["mask"])

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        gradient, rate = self.layout.unflatten(mean), self._rate(state.round)
        return PublicState(
            state.round + 1, ADAM.moved(state.arrays, gradient, state.round + 1, rate, self.ema)
        )

    def _rate(self, done: int) -> float:
        share = min(done / self.total_rounds, 1.0)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        gradient = self.layout.unflatten(mean)
        return {name: value - self.local_rate * gradient[name] for name, value in parameters.items()}

    def generator(self, state: PublicState) -> Generator:
        sampler = Sampler(name=self.sampler, steps=self.sampler_steps, S_churn=self.S_churn, S_min=self.S_min)
        return self.generator_of(self.trainable.merged(under("ema/", state.arrays)), sampler)
