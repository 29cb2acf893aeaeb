"""DP-FedAvg-GAN: a person's own steps on the critic, of which the clipped weight delta crosses.

Augenstein et al., "Generative models for effective ML on private, decentralized datasets" (ICLR 2020,
algorithm 1). Each sampled person takes `local_steps` steps of SGD on the critic, on own motions and on
fakes; Delta_k = theta_k - theta is clipped to C. The server moves the critic by the noised mean and steps
the generator. User level by construction.

Changed: the loss is a hinge, and Adam takes the mean delta for a gradient; softplus is left out, as a
person's bits would depend on who stands beside. The paper's, WGAN-GP
(Gulrajani et al. 2017, equation 3) and the plain sum, is `loss_kind` wasserstein, `penalty` 10, `server`
sgd, `critic_rate` 1: a slope so penalised is stiffer than a person's few steps bear, and they diverge. The
sum is divided by the public constant q U and people are sampled by Poisson, not as a fixed number; noise
comes from the plan's epsilon, where the paper simulates with a multiplier (0.01) that means none; fakes
come from a broadcast bank, so that the generator itself does not travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, one_hot

from common.generator.adversarial import AdversarialGenerator
from common.generator.assets import under
from common.generator.critic import SLOPE
from common.generator.design import choice, number
from common.generator.objective import masked_mean
from common.method import Prospect, PublicState, UserBatch, UserRandom, Usual, VectorMethod
from common.vector import Vector

_TINY = 1e-12  # under the root of a gradient's square, whose slope at zero is infinite


@dataclass(frozen=True, kw_only=True)
class DPFedAvgGAN(AdversarialGenerator, VectorMethod):
    """A critic moved by people's own steps.

    `replicas`: fakes that stand beside each motion in a step. `local_steps`, `local_rate`: of a person's
    SGD. `penalty`: lambda of (|grad D| - 1)^2 between a motion and a fake. `server`: `sgd` adds the mean
    delta `critic_rate` times (the paper: once); `adam` takes it for a gradient.
    """

    name: ClassVar[str] = "dp_fedavg_gan"
    training: ClassVar[frozenset[str]] = AdversarialGenerator.training | {
        "replicas",
        "local_steps",
        "local_rate",
        "penalty",
        "server",
    }
    usual: ClassVar[Usual] = Usual(rounds=100, sampling_rate=0.5, clip_norm=0.1)
    prospect: ClassVar[Prospect] = Prospect(least=0.35, most=1.2, half=0.18)

    loss_kind: str = choice("hinge", "hinge", "wasserstein")
    replicas: int = number(2, 1, 256)
    critic_rate: float = number(1e-2, 1e-7, 1e3)
    local_steps: int = number(2, 1, 64)
    local_rate: float = number(0.05, 1e-7, 1e2)
    penalty: float = number(0.0, 0.0, 1e4)
    server: str = choice("adam", "sgd", "adam")

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        """Each motion, and `replicas` fakes for each local step, with a place between the two."""
        count = self.local_steps * self.replicas
        drawn = self.paired(state.arrays["fakes"], users, rng, count)
        return {**drawn, "between": rng.uniform(users.latents.shape[1], count)}

    @torch.enable_grad()
    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        count = len(examples["mask"])
        moved = {name: value.expand(count, *value.shape) for name, value in parameters.items()}
        parts = (examples[name].split(self.replicas, dim=2) for name in ("fakes", "between"))
        for fakes, between in zip(*parts, strict=True):
            moving = {name: value.detach().requires_grad_() for name, value in moved.items()}
            cost = self._costs(moving, examples, fakes, between).sum()
            found = torch.autograd.grad(cost, list(moving.values()))
            pairs = zip(moving.items(), found, strict=True)
            moved = {name: value.detach() - self.local_rate * slope for (name, value), slope in pairs}
        return torch.cat([(moved[n] - parameters[n]).flatten(1) for n in self.layout.names], dim=1)

    def _costs(
        self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor], fakes: Tensor, between: Tensor
    ) -> Tensor:
        """L_D of each person under own parameters, `[users]`: the mean over motions.

        `fakes` `[users, M, K, latent]`, `between` `[users, M, K]`.
        """
        x, mask = examples["latents"][:, :, None], examples["mask"]
        labels = examples["labels"][..., None].expand(between.shape)
        scores = _scores(parameters, torch.cat([x, fakes], dim=2), examples["labels"][..., None])
        cost = self.loss_of.real(scores[..., 0]) + self.loss_of.fake(scores[..., 1:]).mean(dim=2)
        if self.penalty > 0:
            mixed = (fakes + between[..., None] * (x - fakes)).detach().requires_grad_()
            score = _scores(parameters, mixed, labels).sum()
            (slope,) = torch.autograd.grad(score, mixed, create_graph=True)
            steep = ((slope.square().sum(dim=-1) + _TINY).sqrt() - 1).square()
            cost = cost + self.penalty * steep.mean(dim=2)
        return masked_mean(cost, mask)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        delta = self.layout.unflatten(mean)
        if self.server == "adam":
            uphill = {name: -value for name, value in delta.items()}
            return self.played(state, self.critic_moved(state, uphill, self.critic_rate))
        rate, before = self.critic_rate * self.faded(state.round), self.parameters(state)
        moved = {f"parameters/{name}": before[name] + rate * delta[name] for name in before}
        return self.played(state, {**under("critic/", state.arrays), **moved})


def _scores(parameters: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """`Critic.apply` where every person has own parameters `[users, ...]`: `[users, M, K]`.

    `x` `[users, M, K, latent]`, `labels` `[users, M, K]` or `[users, M, 1]`. Batched products alone, one
    for each person: fewer and larger operations than a map over people, and no row meets another.
    """
    layers = sum(name.startswith("layer") for name in parameters) // 2
    hidden = x.flatten(1, 2)
    for layer in range(layers):
        weight, bias = parameters[f"layer{layer}.weight"], parameters[f"layer{layer}.bias"]
        hidden = leaky_relu(torch.baddbmm(bias[:, None], hidden, weight.mT), SLOPE)
    table = parameters["label.weight"]
    chosen = one_hot(labels.expand(x.shape[:-1]).flatten(1), table.shape[1]).to(table.dtype)
    weight = chosen @ table + parameters["output.weight"]
    scores = (hidden * weight).sum(dim=-1) + parameters["output.bias"]
    return scores.reshape(x.shape[:-1])
