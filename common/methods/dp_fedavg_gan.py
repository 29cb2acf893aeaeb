"""DP-FedAvg-GAN: a person's own steps on the critic, of which the clipped weight delta crosses.

Augenstein et al., "Generative models for effective ML on private, decentralized datasets" (ICLR 2020,
algorithm 1). Each sampled person takes `local_steps` steps of SGD on the critic, on own motions and on
fakes, with the loss of WGAN-GP (Gulrajani et al. 2017, equation 3); Delta_k = theta_k - theta is clipped
to C. The server adds the noised mean to the critic and steps the generator. User level by construction.

Changed: the sum is divided by the public constant q U and people are sampled by Poisson, not as a
fixed number; noise comes from the plan's epsilon, where the paper simulates with a multiplier (0.01)
that means none; fakes come from a broadcast bank, so that the generator itself does not travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad, vmap

from common.generator.adversarial import LOSSES, AdversarialGenerator
from common.generator.assets import under
from common.generator.design import choice, number
from common.method import PublicState, UserBatch, UserRandom, Usual, VectorMethod
from common.vector import Vector

_TINY = 1e-12  # under the root of a gradient's square, whose slope at zero is infinite


@dataclass(frozen=True, kw_only=True)
class DPFedAvgGAN(AdversarialGenerator, VectorMethod):
    """A critic moved by people's own steps.

    `local_steps`, `local_rate`: of a person's SGD. `penalty`: lambda of (|grad D| - 1)^2 between a motion
    and a fake. `server`: `sgd` adds the mean delta `critic_rate` times (the paper: once); `adam` takes it
    for a gradient.
    """

    name: ClassVar[str] = "dp_fedavg_gan"
    training: ClassVar[frozenset[str]] = AdversarialGenerator.training | {
        "local_steps",
        "local_rate",
        "penalty",
        "server",
    }
    usual: ClassVar[Usual] = Usual(rounds=200, sampling_rate=0.5, clip_norm=0.1)

    loss_kind: str = choice("wasserstein", *LOSSES)
    replicas: int = number(2, 1, 256)
    critic_rate: float = number(1.0, 1e-7, 1e3)
    local_steps: int = number(4, 1, 64)
    local_rate: float = number(0.05, 1e-7, 1e2)
    penalty: float = number(10.0, 0.0, 1e4)
    server: str = choice("sgd", "sgd", "adam")

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        """Each motion, and `replicas` fakes for each local step, with a place between the two."""
        count = self.local_steps * self.replicas
        drawn = self.paired(state.arrays["fakes"], users, rng, count)
        return {**drawn, "between": rng.uniform(users.latents.shape[1], count)}

    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        def delta(example: Mapping[str, Tensor]) -> Tensor:
            moved = dict(parameters)
            pieces = zip(*(example[n].split(self.replicas, dim=1) for n in ("fakes", "between")), strict=True)
            for fakes, between in pieces:
                found = grad(self._cost)(moved, example, fakes, between)
                moved = {name: value - self.local_rate * found[name] for name, value in moved.items()}
            return self.layout.flatten({name: moved[name] - parameters[name] for name in moved})

        deltas: Tensor = vmap(delta)(dict(examples))
        return deltas

    def _cost(
        self, parameters: Mapping[str, Tensor], example: Mapping[str, Tensor], fakes: Tensor, between: Tensor
    ) -> Tensor:
        """L_D of one person: the mean over motions `[M]`; `fakes` `[M, K, latent]`, `between` `[M, K]`."""
        x, labels, mask = example["latents"], example["labels"], example["mask"]
        beside = labels[:, None].expand(between.shape)
        real = self.loss_of.real(self.critic.apply(parameters, x, labels))
        fake = self.loss_of.fake(self.critic.apply(parameters, fakes, beside)).mean(dim=1)
        mixed = fakes + between[..., None] * (x[:, None] - fakes)
        slope = grad(lambda at: self.critic.apply(parameters, at, beside).sum())(mixed)
        steep = ((slope.square().sum(dim=-1) + _TINY).sqrt() - 1).square().mean(dim=1)
        each = torch.where(mask, real + fake + self.penalty * steep, 0.0)
        return each.sum() / mask.sum().clamp_min(1)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        delta = self.layout.unflatten(mean)
        if self.server == "adam":
            uphill = {name: -value for name, value in delta.items()}
            return self.played(state, self.critic_moved(state, uphill, self.critic_rate))
        rate, before = self.critic_rate * self.faded(state.round), self.parameters(state)
        moved = {f"parameters/{name}": before[name] + rate * delta[name] for name in before}
        return self.played(state, {**under("critic/", state.arrays), **moved})
