"""Critics that stay with the people, and their gradients with respect to generated samples (GS-WGAN).

Chen, Orekondy, Fritz, "GS-WGAN: a gradient-sanitized approach for learning differentially private
generators" (NeurIPS 2020). Critic D_k belongs to one person or one shard of people; it is trained there
without noise by WGAN-GP, remembered over the rounds, and never leaves. The server broadcasts B latents x_j
with labels y_j from its generator; unit k answers with

    u_k = - sqrt(B) [w_kj grad_x D_k(x_j, y_j)],  j = 1..B,
    w_kj = sum_i s_ki [y_j = y_ki] / |{j': y_j' = y_ki}|

over its own motions i of share s_ki: the gradient of the generator's loss - E D_k under the unit's own
mix of actions. The server back-propagates the noised mean through the few-step sampler of the shared
diffusion generator.

Changed: the B gradients are clipped once, together, as they come of one draw (the paper clips and accounts
each by itself, which holds for none of them); every sampled critic answers, not one; w_kj compares an
action with itself alone. With B D's of slope 1, as the penalty wants them, u_k has norm about 1: C = 1.
`penalty` `samples` is ours: lambda E |grad_x D|^2 at the generated samples instead of lambda E (|grad_x D|
- 1)^2 between. It is quadratic in D and knows nothing of the person, so that the best D is linear in the
person's distribution and the mean of all critics is the critic of all people. Under WGAN-GP it is not: what a
mean of slopes of 1 towards few people each pulls the samples to is their median.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.func import grad, vmap

from common.generator.adam import ADAM
from common.generator.assets import under
from common.generator.critic import Critic
from common.generator.design import choice, number
from common.generator.few_steps import FewStepGenerator
from common.generator.generator import Generator
from common.method import Prospect, PublicState, RememberingMethod, UserBatch, UserRandom, Usual
from common.vector import Layout, Vector

_BETA2: Final = 0.9  # of the critics' Adam, whose beta1 is 0 (Gulrajani et al. 2017)
_DRIFT: Final = 1e-3  # weight of D^2, which keeps the level of D near 0 (Karras et al. 2018)


@dataclass(frozen=True, kw_only=True)
class GSWGAN(FewStepGenerator, RememberingMethod):
    """The generator's samples judged at the sites.

    `motions`: of one unit a round at most. `samples`: B. `critic_width`, `critic_depth`: of D, hidden
    layers of so many numbers beside the first. `critic_steps`: of Adam at `critic_rate` a round, n_D;
    `warm_steps` more in a unit's first round. `penalty`: `between`, as WGAN-GP, or at the `samples`;
    `penalty_weight` its lambda. `learning_rate`: of the generator's Adam, falling to zero over
    `total_rounds` as half a cosine. `ema`: decay of its averaged parameters.
    """

    name: ClassVar[str] = "gs_wgan"
    training: ClassVar[frozenset[str]] = FewStepGenerator.training | {
        "motions", "samples", "critic_width", "critic_depth", "critic_steps", "critic_rate", "warm_steps",
        "penalty", "penalty_weight", "learning_rate", "ema", "total_rounds",
    }  # fmt: skip
    usual: ClassVar[Usual] = Usual(rounds=50, sampling_rate=0.5, clip_norm=1.0)
    prospect: ClassVar[Prospect] = Prospect(least=0.2, most=1.2, half=0.24)

    motions: int = number(4, 1, 1024)
    samples: int = number(64, 1, 1024)
    critic_width: int = number(32, 1, 256)
    critic_depth: int = number(0, 0, 4)
    critic_steps: int = number(2, 1, 100)
    critic_rate: float = number(1e-2, 1e-7, 1.0)
    warm_steps: int = number(10, 0, 10_000)
    penalty: str = choice("samples", "between", "samples")
    penalty_weight: float = number(10.0, 1e-6, 1e6)
    learning_rate: float = number(1e-2, 1e-7, 1.0)
    ema: float = number(0.95, 0.0, 0.99999)
    total_rounds: int = number(50, 1, 10_000_000)

    @cached_property
    def critic(self) -> Critic:
        codec = self.assets.codec
        return Critic(
            latent=codec.latent, labels=len(codec.labels), width=self.critic_width, depth=self.critic_depth
        )

    @cached_property
    def _start(self) -> dict[str, Tensor]:
        """Every critic's first parameters: public, alike so that their gradients can agree, and D = 0.

        A first D with slopes would be in all answers alike, and drive the samples where nobody is.
        """
        last = ("label.weight", "output.weight")
        start = self.critic.init(0)
        return {name: torch.zeros_like(v) if name in last else v for name, v in start.items()}

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self._start)

    @property
    def memory(self) -> int:
        """D's parameters, Adam's second moments and the number of its steps."""
        return 2 * self._layout.dimension + 1

    @property
    def held(self) -> int:
        rows = 2 * (self.samples + 2 * self.motions)
        return 4 * self.memory + 8 * rows * (self.critic_depth + 2) * max(
            self.critic_width, self.critic.latent
        )

    @property
    def dimension(self) -> int:
        return self.samples * self.assets.codec.latent

    def init(self, seed: int) -> PublicState:
        arrays = ADAM.start(self.start(seed))
        return self._with_samples(0, {**arrays, "seed": torch.tensor(seed)})

    def _with_samples(self, round: int, arrays: Mapping[str, Tensor]) -> PublicState:
        """The state after `round` with the samples that its successor asks about."""
        with torch.no_grad():
            labels, samples = self._drawn(under("parameters/", arrays), int(arrays["seed"]), round)
        return PublicState(round, {**arrays, "samples": samples, "labels": labels})

    def _drawn(self, parameters: Mapping[str, Tensor], seed: int, round: int) -> tuple[Tensor, Tensor]:
        """Labels `[B]`, as even as the public prior allows, and samples of them `[B, latent]`."""
        word = hashlib.sha256(f"{self.name} {seed} {round}".encode()).digest()
        random = torch.Generator().manual_seed(int.from_bytes(word[:7]))
        prior = self.assets.codec.label_prior()
        points = (torch.arange(self.samples) + torch.rand(1, generator=random)) / self.samples
        edges = torch.cumsum(prior / prior.sum(), dim=0)
        last = int(torch.nonzero(prior)[-1])
        labels = torch.searchsorted(edges, points, right=True).clamp_max(last)
        return labels, self.drawn(parameters, labels, random)

    def broadcast(self, state: PublicState) -> PublicState:
        return PublicState(state.round, self.parameters(state))

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return {name: state.arrays[name] for name in ("samples", "labels")}

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        drawn = {}
        for name, steps in (("warm", self.warm_steps), ("round", self.critic_steps)):
            drawn[f"{name}/partner"] = rng.uniform(steps, users.latents.shape[1])
            drawn[f"{name}/mixing"] = rng.uniform(steps, users.latents.shape[1])
        own = {"latents": users.latents, "labels": users.condition.labels, "mask": users.mask}
        return {**own, **drawn}

    def beginning(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        units, device = len(examples["mask"]), examples["latents"].device
        first = torch.cat([self._layout.flatten(self._start), torch.zeros(self._layout.dimension + 1)])
        return self._trained("warm", parameters, examples, first.to(device).repeat(units, 1))

    def answers(
        self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor], memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        after = self._trained("round", parameters, examples, memory)
        samples, labels = parameters["samples"], parameters["labels"]

        def slopes(theta: Tensor) -> Tensor:
            return self._slopes(theta, samples, labels)

        _, weights, _ = self._matched(examples["labels"], examples["mask"], labels)
        found = vmap(slopes)(after[:, : self._layout.dimension])
        return (-math.sqrt(self.samples) * weights[..., None] * found).flatten(1), after

    def _trained(
        self, phase: str, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor], memory: Tensor
    ) -> Tensor:
        """Memories after the steps of `phase`: Adam on each unit's own critic, `[units, memory]`."""
        mask, size = examples["mask"], self._layout.dimension
        real = torch.where(mask[..., None], examples["latents"], 0.0)
        same, weights, shares = self._matched(examples["labels"], mask, parameters["labels"])
        theta, second, step = memory[:, :size], memory[:, size:-1], memory[:, -1:]
        slope = vmap(grad(self._loss), in_dims=(0, 0, 0, 0, 0, 0, None, None))
        public = parameters["samples"], parameters["labels"]
        for at in range(examples[f"{phase}/mixing"].shape[1]):
            partner = _chosen(same, examples[f"{phase}/partner"][:, at])
            mixing = examples[f"{phase}/mixing"][:, at, :, None]
            between = mixing * real + (1 - mixing) * public[0][partner]
            g = slope(theta, real, examples["labels"], between, shares, weights, *public)
            second = _BETA2 * second + (1 - _BETA2) * g.square()
            step = step + 1
            theta = theta - self.critic_rate * g / ((second / (1 - _BETA2**step)).sqrt() + 1e-8)
        return torch.cat([theta, second, step], dim=1)

    @staticmethod
    def _matched(own: Tensor, mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which samples show what a motion shows `[units, M, B]`; weights of samples and of motions.

        Motions of whose action there is no sample weigh nothing; each kind adds up to 1, or to 0.
        """
        same = (own[..., None] == labels) & mask[..., None]
        counts = same.sum(dim=2)
        usable = (counts > 0).to(torch.float32)
        shares = usable / usable.sum(dim=1, keepdim=True).clamp_min(1.0)
        weights = (same * (shares / counts.clamp_min(1))[..., None]).sum(dim=1)
        return same, weights, shares

    def _loss(
        self, theta: Tensor, real: Tensor, own: Tensor, between: Tensor, shares: Tensor, weights: Tensor,
        samples: Tensor, labels: Tensor,
    ) -> Tensor:  # fmt: skip
        """One critic's loss: E D(x) - E D(y) + lambda penalty + drift, see the module."""
        parameters = self._layout.unflatten(theta)
        false = self.critic.apply(parameters, samples, labels)
        true = self.critic.apply(parameters, real, own)
        if self.penalty == "between":
            norms = self._slopes(theta, between, own).square().sum(dim=1).add(1e-12).sqrt()
            penalty = (shares * (norms - 1).square()).sum()
        else:
            penalty = (weights * self._slopes(theta, samples, labels).square().sum(dim=1)).sum()
        drift = (weights * false.square()).sum()
        if self.penalty == "between":
            drift = drift + (shares * true.square()).sum()
        distance = (weights * false).sum() - (shares * true).sum()
        return distance + self.penalty_weight * penalty + _DRIFT * drift

    def _slopes(self, theta: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        """grad_x D at `x` `[n, latent]`, `[n, latent]`."""
        parameters = self._layout.unflatten(theta)

        def level(x: Tensor) -> Tensor:
            return self.critic.apply(parameters, x, labels).sum()

        found: Tensor = grad(level)(x)
        return found

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        moving = under("parameters/", state.arrays)
        moving = {name: value.detach().requires_grad_() for name, value in moving.items()}
        _, samples = self._drawn(moving, int(state.arrays["seed"]), state.round)
        found = torch.autograd.grad(
            samples,
            list(moving.values()),
            mean.reshape(samples.shape).to(samples.dtype),
            allow_unused=True,
            materialize_grads=True,
        )
        done = min(state.round / self.total_rounds, 1.0)
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        gradient = dict(zip(moving, found, strict=True))
        arrays = ADAM.moved(state.arrays, gradient, state.round + 1, rate, self.ema)
        return self._with_samples(state.round + 1, {**arrays, "seed": state.arrays["seed"]})

    def generator(self, state: PublicState) -> Generator:
        return self.few_step_generator(under("ema/", state.arrays))


def _chosen(same: Tensor, uniform: Tensor) -> Tensor:
    """For each motion the index of a sample that shows the same, `[units, M]`; any where none does."""
    place = (uniform * same.sum(dim=2)).to(torch.int64)
    return (same.to(torch.int64).cumsum(dim=2) <= place[..., None]).sum(dim=2).clamp_max(same.shape[2] - 1)
