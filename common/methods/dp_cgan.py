"""DP-CGAN: of the critic's gradient the part of real motions alone is private; that of fakes is the server's.

Torkzadehmahani, Kairouz and Paten, "DP-CGAN: differentially private synthetic data and label generation"
(CVPR workshops 2019). L_D = L_real + L_fake, of which people contribute clip(grad L_real) alone, on
(latent, label) pairs. The fakes are public: the server adds clip(grad L_fake) without noise. The half of a
gradient has about half its square, so the same C cuts less of it, and nothing but the critic is broadcast.

Changed: a person is clipped, not a batch; fakes are clipped in groups as large as a person, to
`fake_norm`, so that where both look alike the two parts cancel (give it the plan's clip_norm); one
released sum a round with one event, where the paper's accountant is told the wrong sampling rate; no noise
on fakes, which the paper's text leaves open. Labels of fakes follow the public prior, as the server
knows nobody's: where people do other things than the prior says, the critic sees that too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad, vmap

from common.generator.adversarial import AdversarialGenerator
from common.generator.design import number
from common.generator.objective import masked_mean
from common.method import GradientMethod, Prospect, PublicState, UserBatch, UserRandom, Usual
from common.vector import Vector


@dataclass(frozen=True, kw_only=True)
class DPCGAN(AdversarialGenerator, GradientMethod):
    """A critic of which people teach one half.

    `fake_groups`: groups of `motions` fakes whose clipped gradients the server averages. `fake_norm`: what
    each is clipped to. `local_rate`: of a site's own plain gradient step, on the real part alone.
    """

    name: ClassVar[str] = "dp_cgan"
    training: ClassVar[frozenset[str]] = AdversarialGenerator.training | {
        "fake_groups",
        "fake_norm",
        "local_rate",
    }
    usual: ClassVar[Usual] = Usual(rounds=100, sampling_rate=0.5, clip_norm=0.2)
    prospect: ClassVar[Prospect] = Prospect(least=0.3, most=1.2, half=0.19)

    critic_depth: int = number(1, 0, 16)
    fake_groups: int = number(256, 1, 65_536)
    fake_norm: float = number(0.2, 1e-6, 1e6)
    local_rate: float = number(0.1, 1e-7, 1e3)

    def broadcast(self, state: PublicState) -> PublicState:
        """The critic: fakes stay where they are made."""
        shown = super().broadcast(state).arrays
        return PublicState(state.round, {name: value for name, value in shown.items() if name != "fakes"})

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        return self.shown(users, rng)

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        scores = self.critic.apply(parameters, examples["latents"], examples["labels"])
        return masked_mean(self.loss_of.real(scores), examples["mask"])

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        gradient = self.layout.unflatten(mean + self._fake_part(state))
        return self.played(state, self.critic_moved(state, gradient, self.critic_rate))

    def _fake_part(self, state: PublicState) -> Vector:
        """The mean over groups of clip(grad L_fake), `[dimension]`."""
        random = self.random(state.arrays, ~state.round)
        labels = self.labels_of(self.fake_groups * self.motions, random)
        fakes = self.fake_of(labels, state.arrays["fakes"], random)

        def cost(parameters: Mapping[str, Tensor], fakes: Tensor, labels: Tensor) -> Tensor:
            return self.loss_of.fake(self.critic.apply(parameters, fakes, labels)).mean()

        each = vmap(grad(cost), in_dims=(None, 0, 0))(
            self.parameters(state), fakes.unflatten(0, (-1, self.motions)), labels.view(-1, self.motions)
        )
        rows = torch.cat([each[name].flatten(1) for name in self.layout.names], dim=1)
        norms: Tensor = rows.norm(dim=1, keepdim=True).clamp_min(1e-30)
        return (rows * (self.fake_norm / norms).clamp_max(1.0)).mean(dim=0)

    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        gradient = self.layout.unflatten(mean)
        return {name: value - self.local_rate * gradient[name] for name, value in parameters.items()}
