"""User-level DP-SGD on the latent diffusion denoiser, with noise multiplicity as in DPDM.

Dockhorn et al., "Differentially private diffusion models" (TMLR 2023): the loss of one person
averages over K noise levels and draws before clipping, which costs computation and no privacy.
Here it also averages over the person's sequences of the round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from common.generator.assets import Assets, under
from common.generator.condition import Condition
from common.generator.denoisers import ResidualMLP
from common.generator.diffusion import Preconditioning, log_normal_sigma, stratified
from common.generator.generator import Generator
from common.method import GradientMethod, PublicState, UserBatch, UserRandom
from common.vector import Layout, Vector


def _option(default: float, low: float, high: float) -> Any:
    """A hyper-parameter with the range that `common.methods.build` accepts."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class DPSGD(GradientMethod):
    """EDM training of a residual MLP on codec latents; Adam and EMA run on releases only.

    `width`, `depth`: of the MLP (depth 0: only the tables of shifts and scales).
    `motions`: sequences of one person a round at most. `replicas`: noise draws K a sequence.
    `learning_rate`: of Adam, falling to zero over `total_rounds` as half a cosine.
    `local_rate`: of a site's own plain gradient step. `ema`: decay of the averaged parameters.
    `label_dropout`: share of sequences trained without label, for guidance.
    `P_mean`, `P_std`: of ln sigma (EDM, table 1).
    """

    name: ClassVar[str] = "dp_sgd"

    assets: Assets = field(compare=False)
    width: int = _option(32, 1, 2048)
    depth: int = _option(1, 0, 16)
    motions: int = _option(4, 1, 1024)
    replicas: int = _option(8, 1, 256)
    learning_rate: float = _option(2e-2, 1e-7, 1.0)
    local_rate: float = _option(0.1, 1e-7, 1e3)
    ema: float = _option(0.95, 0.0, 0.99999)
    label_dropout: float = _option(0.1, 0.0, 0.9)
    P_mean: float = _option(0.0, -5.0, 5.0)
    P_std: float = _option(1.2, 0.01, 5.0)
    total_rounds: int = _option(200, 1, 10_000_000)

    @cached_property
    def denoiser(self) -> ResidualMLP:
        codec = self.assets.codec
        return ResidualMLP(latent=codec.latent, labels=len(codec.labels), width=self.width, depth=self.depth)

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self.denoiser.init(0))

    @property
    def dimension(self) -> int:
        return self.layout.dimension

    def init(self, seed: int) -> PublicState:
        start = self.denoiser.init(seed)
        zeros = {name: torch.zeros_like(value) for name, value in start.items()}
        return PublicState(0, _state(start, start, zeros, zeros))

    def broadcast(self, state: PublicState) -> PublicState:
        parameters = self.parameters(state)
        return PublicState(state.round, {f"parameters/{name}": value for name, value in parameters.items()})

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return under("parameters/", state.arrays)

    def examples(self, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        count, latent = users.latents.shape[1:]
        condition = users.condition
        if self.label_dropout > 0:
            dropped = rng.uniform(count) < self.label_dropout
            condition = condition.dropped(dropped, len(self.assets.codec.labels))
        uniform = stratified(rng.uniform(count, self.replicas))
        return {
            "latents": users.latents,
            **condition._asdict(),
            "mask": users.mask,
            "sigma": log_normal_sigma(uniform, self.P_mean, self.P_std),
            "noise": rng.normal(count, self.replicas, latent),
        }

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """lambda(sigma) |D(y + n; sigma, label) - y|^2 / latent, averaged (EDM, equation 2)."""
        edm = Preconditioning()
        sigma = examples["sigma"]  # [users, M, K]
        y = examples["latents"][:, :, None]
        condition = Condition(*(examples[name] for name in Condition._fields)).repeated(self.replicas)
        noised = y + sigma[..., None] * examples["noise"]
        error = edm.denoised(self.denoiser, parameters, noised, sigma, condition) - y
        each = (edm.weight(sigma) * error.square().mean(dim=-1)).mean(dim=-1)  # [users, M]
        mask = examples["mask"]
        total = torch.where(mask, each, torch.zeros_like(each)).sum(dim=1)
        return total / mask.sum(dim=1).clamp_min(1)

    def update(self, state: PublicState, mean: Vector) -> PublicState:
        """Adam (Kingma and Ba, 2015, algorithm 1), then the average that `generator` uses."""
        gradient = self.layout.unflatten(mean)
        step = state.round + 1
        beta1, beta2 = 0.9, 0.99
        rate = self._rate(state.round) * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        decay = min(self.ema, step / (step + 9))
        parameters: dict[str, Tensor] = {}
        average: dict[str, Tensor] = {}
        first: dict[str, Tensor] = {}
        second: dict[str, Tensor] = {}
        for name, g in gradient.items():
            first[name] = beta1 * state.arrays[f"first/{name}"] + (1 - beta1) * g
            second[name] = beta2 * state.arrays[f"second/{name}"] + (1 - beta2) * g.square()
            moved = rate * first[name] / (second[name].sqrt() + 1e-10)
            parameters[name] = state.arrays[f"parameters/{name}"] - moved
            average[name] = decay * state.arrays[f"ema/{name}"] + (1 - decay) * parameters[name]
        return PublicState(step, _state(parameters, average, first, second))

    def _rate(self, done: int) -> float:
        share = min(done / self.total_rounds, 1.0)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        gradient = self.layout.unflatten(mean)
        return {name: value - self.local_rate * gradient[name] for name, value in parameters.items()}

    def generator(self, state: PublicState) -> Generator:
        codec = self.assets.codec
        text = None if self.assets.text is None else self.assets.text.labels
        return Generator(
            codec, self.denoiser, under("ema/", state.arrays), codec.label_prior(), label_text=text
        )


def _state(*groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefixes = ("parameters/", "ema/", "first/", "second/")
    named = zip(prefixes, groups, strict=True)
    return {f"{prefix}{name}": value for prefix, group in named for name, value in group.items()}
