"""A generator taught by a critic of its latents: what the private GANs share.

The critic alone meets people, in a contribution that is clipped and noised. The generator, its turns
and the fakes that people hold their motions against are the server's: post-processing of releases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import cos, pi
from typing import ClassVar, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from common.generator.adam import Adam
from common.generator.assets import under
from common.generator.critic import Critic
from common.generator.design import choice, number
from common.generator.diffusion import unpadded
from common.generator.few_steps import FewStepGenerator
from common.generator.generator import Generator
from common.method import PublicState, UserBatch, UserRandom
from common.vector import Layout

Arrays = Mapping[str, Tensor]
_LAST: Final = ("output.weight", "label.weight")


class Loss(NamedTuple):
    """What a score costs the critic where it is of a `real` latent or a `fake`, and the `generator`."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


LOSSES: Final[Mapping[str, Loss]] = {
    # Goodfellow et al. 2014, with the generator's loss that does not saturate.
    "softplus": Loss(lambda d: softplus(-d), softplus, lambda d: softplus(-d)),
    "hinge": Loss(lambda d: (1 - d).relu(), lambda d: (1 + d).relu(), torch.neg),
    "wasserstein": Loss(torch.neg, lambda d: d, torch.neg),
}
GAME: Final = Adam(beta1=0.5, beta2=0.99)
"""Less momentum than where an aim stands still: here it moves with the other player."""


@dataclass(frozen=True, kw_only=True)
class AdversarialGenerator(FewStepGenerator):
    """The server's side of a game between the shared generator and a small critic.

    `loss_kind`: a row of `LOSSES`. `critic_width`, `critic_depth`: its hidden layers. `critic_rate`: of its
    Adam. `memory`: share of what the critic has learned that it keeps from round to round; noise
    that has no end in it would drown what it says. `spectral`: the most that a layer may stretch.
    `bank`: fakes of each label that are kept for a round.
    `critic_rounds`: rounds of the critic before the generator has a turn of `generator_steps` steps of Adam
    at `generator_rate`, on `generator_batch` fakes each. Both rates fall to zero over `total_rounds` as half
    a cosine. `ema`: decay of the averaged generator, which is the one that is kept.
    """

    training: ClassVar[frozenset[str]] = FewStepGenerator.training | {
        "motions", "loss_kind", "critic_width", "critic_depth", "critic_rate", "memory",
        "spectral", "bank", "critic_rounds", "generator_steps", "generator_batch",
        "generator_rate", "ema", "total_rounds",
    }  # fmt: skip

    motions: int = number(4, 1, 1024)
    loss_kind: str = choice("softplus", *LOSSES)
    critic_width: int = number(32, 1, 2048)
    critic_depth: int = number(0, 0, 16)
    critic_rate: float = number(1e-2, 1e-7, 1.0)
    memory: float = number(0.95, 0.0, 1.0)
    spectral: float = number(1.0, 1e-3, 1e6)
    bank: int = number(64, 1, 4096)
    critic_rounds: int = number(1, 1, 1000)
    generator_steps: int = number(2, 1, 1000)
    generator_batch: int = number(256, 1, 65_536)
    generator_rate: float = number(2e-3, 1e-7, 1.0)
    ema: float = number(0.98, 0.0, 0.99999)
    total_rounds: int = number(100, 1, 10_000_000)

    @cached_property
    def critic(self) -> Critic:
        codec = self.assets.codec
        return Critic(
            latent=codec.latent, labels=self._none, width=self.critic_width, depth=self.critic_depth
        )

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self.critic.init(0))

    @property
    def dimension(self) -> int:
        return self.layout.dimension

    @property
    def loss_of(self) -> Loss:
        return LOSSES[self.loss_kind]

    @property
    def _none(self) -> int:
        """The label for none."""
        return len(self.assets.codec.labels)

    def init(self, seed: int) -> PublicState:
        critic, generator = GAME.start(self._indifferent(seed)), GAME.start(self.start(seed))
        arrays = {**_named("critic/", critic), **_named("generator/", generator), "seed": torch.tensor(seed)}
        return PublicState(0, {**arrays, "fakes": self._fakes(arrays, self.random(arrays, 0))})

    def broadcast(self, state: PublicState) -> PublicState:
        shown = _named("critic/parameters/", self.parameters(state))
        return PublicState(state.round, {**shown, "fakes": state.arrays["fakes"]})

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return under("critic/parameters/", state.arrays)

    def generator(self, state: PublicState) -> Generator:
        return self.few_step_generator(under("generator/ema/", state.arrays))

    def paired(self, fakes: Tensor, users: UserBatch, rng: UserRandom, count: int) -> dict[str, Tensor]:
        """`latents`, `labels`, `mask` on `[users, M]` and `fakes` `[users, M, count, latent]`.

        Fakes of a person's own labels: how often an action occurs is nothing that the generator could
        learn, so that the critic is not told.
        """
        shown, motions = self.shown(users, rng), users.latents.shape[1]
        chosen = (rng.uniform(motions, count) * self.bank).to(torch.int64).clamp_max(self.bank - 1)
        beside = fakes[shown["labels"][..., None], chosen]
        lengths = users.condition.repeated(count)
        return {**shown, "fakes": unpadded(beside, lengths, self.network)}

    def shown(self, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        """`latents` `[users, M, latent]`, and `labels`, some of them dropped, and `mask` `[users, M]`."""
        dropped = rng.uniform(users.latents.shape[1]) < self.label_dropout
        labels = torch.where(dropped, self._none, users.condition.labels)
        latents = unpadded(users.latents, users.condition, self.network)
        return {"latents": latents, "labels": labels, "mask": users.mask}

    def random(self, arrays: Arrays, round: int) -> torch.Generator:
        """The server's draws before (0) or in `round`: the same whenever it is done again."""
        return torch.Generator().manual_seed((int(arrays["seed"]) + round * 0x9E3779B97F4A7C15) % 2**63)

    def faded(self, done: int) -> float:
        """What is left of the rates after so many rounds."""
        return 0.5 * (1 + cos(pi * min(done / self.total_rounds, 1.0)))

    def played(self, state: PublicState, critic: Arrays) -> PublicState:
        """The state after a round whose `critic` (its Adam arrays) is given, and a turn where one is due."""
        arrays = {**state.arrays, **_named("critic/", self._forgetting(state, critic))}
        round = state.round + 1
        if round % self.critic_rounds == 0:
            random = self.random(arrays, round)
            arrays |= _named("generator/", self._turn(arrays, round, random))
            arrays["fakes"] = self._fakes(arrays, random)
        return PublicState(round, arrays)

    def critic_moved(self, state: PublicState, gradient: Arrays, rate: float) -> dict[str, Tensor]:
        """The critic's arrays after a step of Adam at what is left of `rate`."""
        own = under("critic/", state.arrays)
        return GAME.moved(own, gradient, state.round + 1, rate * self.faded(state.round), 0.0)

    def fake_of(self, labels: Tensor, fakes: Tensor, random: torch.Generator) -> Tensor:
        """One fake from the bank for each of `labels` `[...]`, `[..., latent]`."""
        return fakes[labels, torch.randint(self.bank, labels.shape, generator=random)]

    def labels_of(self, count: int, random: torch.Generator) -> Tensor:
        """Labels from the public prior, some of them dropped, `[count]`."""
        labels = self.drawn_labels(count, random)
        return torch.where(torch.rand(count, generator=random) < self.label_dropout, self._none, labels)

    def _indifferent(self, seed: int) -> dict[str, Tensor]:
        """A critic that says zero of everything: before it met anybody, it teaches nothing."""
        return {n: torch.zeros_like(v) if n in _LAST else v for n, v in self.critic.init(seed).items()}

    def _forgetting(self, state: PublicState, critic: Arrays) -> dict[str, Tensor]:
        """`critic`, its parameters a step back towards where they began."""
        start = _named("parameters/", self._indifferent(int(state.arrays["seed"])))
        kept = {n: start[n] + self.memory * (critic[n] - start[n]) for n in start}
        return {**critic, **{n: self._bounded(n, v) for n, v in kept.items()}}

    def _bounded(self, name: str, value: Tensor) -> Tensor:
        """A weight whose spectral norm is `spectral` at most (after Miyato et al. 2018)."""
        if not name.endswith(".weight"):
            return value
        norm: Tensor = torch.linalg.matrix_norm(value, 2)
        return value * (self.spectral / norm).clamp_max(1.0)

    def _turn(self, arrays: Arrays, round: int, random: torch.Generator) -> dict[str, Tensor]:
        """The generator's Adam arrays after its steps against the critic of `arrays`."""
        critic, own = under("critic/parameters/", arrays), under("generator/", arrays)
        before = (round // self.critic_rounds - 1) * self.generator_steps
        rate = self.generator_rate * self.faded(round - 1)
        for step in range(self.generator_steps):
            labels = self.labels_of(self.generator_batch, random)
            moving = _moving(own)
            scores = self.critic.apply(critic, self.drawn(moving, labels, random), labels)
            loss = self.loss_of.generator(scores).mean()
            own = _descended(own, moving, loss, before + step + 1, rate, self.ema)
        return own

    @torch.no_grad()
    def _fakes(self, arrays: Arrays, random: torch.Generator) -> Tensor:
        """A new bank, `[labels + 1, bank, latent]`."""
        labels = torch.arange(self._none + 1).repeat_interleave(self.bank)
        drawn = self.drawn(under("generator/parameters/", arrays), labels, random)
        bank: Tensor = drawn.unflatten(0, (-1, self.bank))
        return bank


def _moving(own: Arrays) -> dict[str, Tensor]:
    return {n: v.detach().requires_grad_() for n, v in under("parameters/", own).items()}


def _descended(
    own: Arrays, moving: Arrays, loss: Tensor, step: int, rate: float, decay: float
) -> dict[str, Tensor]:
    """Adam arrays after a step down `loss`, which was computed from `moving`."""
    found = torch.autograd.grad(loss, list(moving.values()), materialize_grads=True, allow_unused=True)
    return GAME.moved(own, dict(zip(moving, found, strict=True)), step, rate, decay)


def _named(prefix: str, arrays: Arrays) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in arrays.items()}
