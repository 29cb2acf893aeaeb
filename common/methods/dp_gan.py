"""DP-GAN: the critic is trained by user-level DP-SGD, the generator on the server against that critic.

Xie et al., "Differentially private generative adversarial network" (2018). The critic D descends
L_D = E[l_real(D(x, y))] + E[l_fake(D(G(z, y), y))] on noised gradients, the generator descends
E[l_gen(D(G(z, y), y))], which is post-processing. One vector crosses for each person: the gradient in D's
parameters, averaged over the person's motions and the fakes beside them.

Changed: Adam on a noised mean over people, instead of clipped weights; the critic forgets (`memory`),
as noise that it kept for ever would outgrow what it learned; fakes come from a bank that is broadcast, for
the labels that a person has; the generator is the shared denoiser through its sampler of a few steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from common.generator.adversarial import AdversarialGenerator
from common.generator.design import number
from common.generator.objective import masked_mean
from common.method import GradientMethod, Prospect, PublicState, UserBatch, UserRandom, Usual
from common.vector import Vector


@dataclass(frozen=True, kw_only=True)
class DPGAN(AdversarialGenerator, GradientMethod):
    """A private critic by gradient.

    `replicas`: fakes that stand beside each motion. `local_rate`: of a site's own plain gradient step.
    """

    name: ClassVar[str] = "dp_gan"
    training: ClassVar[frozenset[str]] = AdversarialGenerator.training | {"replicas", "local_rate"}
    usual: ClassVar[Usual] = Usual(rounds=100, sampling_rate=0.5, clip_norm=0.2)
    prospect: ClassVar[Prospect] = Prospect(least=0.35, most=1.2, half=0.28)

    replicas: int = number(4, 1, 256)
    local_rate: float = number(0.1, 1e-7, 1e3)

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        """Each motion, and `replicas` fakes of its label and length."""
        return self.paired(state.arrays["fakes"], users, rng, self.replicas)

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        shown = torch.cat([examples["latents"][:, :, None], examples["fakes"]], dim=2)
        labels = examples["labels"][..., None].expand(shown.shape[:-1])
        scores = self.critic.apply(parameters, shown, labels)
        real, fake = self.loss_of.real(scores[..., 0]), self.loss_of.fake(scores[..., 1:])
        return masked_mean(real + fake.mean(dim=-1), examples["mask"])

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        gradient = self.layout.unflatten(mean)
        return self.played(state, self.critic_moved(state, gradient, self.critic_rate))

    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        gradient = self.layout.unflatten(mean)
        return {name: value - self.local_rate * gradient[name] for name, value in parameters.items()}
