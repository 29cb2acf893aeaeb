"""Training on public motions: the method's own loss, without clip, noise or people to protect."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Protocol

import torch
from torch import Tensor

from common.generator.assets import under
from common.generator.codec import Codec
from common.generator.design import Design
from common.generator.shared import SharedGenerator
from common.method import PublicState, UserBatch
from common.methods.dp_sgd import DPSGD
from simulations.corpus import Corpus

_NOTHING: Final = PublicState(0)
_BETA1, _BETA2, _TINY = 0.9, 0.99, 1e-10
_WARM: Final = 0.02  # share of the steps over which the rate rises
_ENCODED: Final = 1024  # windows at once


class Schedule(Protocol):
    """The numbers of a training; `Pretraining` has them."""

    @property
    def steps(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def ema(self) -> float: ...
    @property
    def seed(self) -> int: ...


class SeededRandom:
    """Randomness for training on public data."""

    def __init__(self, users: int, random: torch.Generator) -> None:
        self._users, self._random = users, random

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._users, *shape, generator=self._random)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self._users, *shape, generator=self._random)


@dataclass(frozen=True, eq=False)
class Latents:
    """Public motions as a codec encoded them: `values` `[n, latent]` of `frames` frames each."""

    values: Tensor
    corpus: Corpus
    frames: int

    @classmethod
    def encoded(cls, codec: Codec, corpus: Corpus) -> Latents:
        parts = zip(corpus.windows.split(_ENCODED), corpus.labels.split(_ENCODED), strict=True)
        values = [codec.encode(*part) for part in parts] or [torch.empty(0, codec.latent)]
        return cls(torch.cat(values), corpus, codec.frames)

    def __len__(self) -> int:
        return len(self.values)

    def users(self, rows: Tensor, random: torch.Generator) -> UserBatch:
        """Each of `rows` `[n]` as a user of one sequence; `random` draws one of several sentences."""
        rows = rows[:, None]
        there = torch.ones_like(rows, dtype=torch.bool)
        return UserBatch(self.values[rows], self.corpus.condition(rows, self.frames, random), there)


@dataclass(frozen=True, eq=False)
class Progress:
    """All that the next step needs: draws are keyed by seed and step, so nothing else is kept."""

    step: int
    arrays: Mapping[str, Tensor]

    @classmethod
    def start(cls, parameters: Mapping[str, Tensor], device: str) -> Progress:
        zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
        groups = {"parameters/": parameters, "ema/": parameters, "first/": zeros, "second/": zeros}
        return cls(0, {p + n: v.to(device) for p, group in groups.items() for n, v in group.items()})

    def on(self, device: str) -> Progress:
        return Progress(self.step, {name: value.to(device) for name, value in self.arrays.items()})

    def averaged(self) -> dict[str, Tensor]:
        """The parameters that are kept."""
        return {name: value.cpu() for name, value in under("ema/", self.arrays).items()}


def denoising(method: SharedGenerator) -> DPSGD:
    """The method that trains the generator of `method` as a denoiser."""
    if isinstance(method, DPSGD):
        return method
    design = {item.name: getattr(method, item.name) for item in fields(Design)}
    return DPSGD(assets=method.assets, **design)


def step(
    method: DPSGD, latents: Latents, before: Progress, schedule: Schedule, device: str
) -> tuple[Progress, float]:
    """One step of AdamW on a batch, and the loss before it."""
    random = _random(schedule.seed, "step", before.step)
    rows = torch.randint(len(latents), (schedule.batch,), generator=random)
    examples = method.examples(_NOTHING, latents.users(rows, random), SeededRandom(len(rows), random))
    parameters = under("parameters/", before.arrays)
    moving = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    loss = method.loss(moving, _placed(examples, device)).mean()
    gradients = torch.autograd.grad(loss, list(moving.values()), allow_unused=True, materialize_grads=True)
    return _moved(before, dict(zip(moving, gradients, strict=True)), schedule), float(loss.detach())


@torch.no_grad()
def held_out_loss(method: DPSGD, latents: Latents, parameters: Mapping[str, Tensor]) -> float:
    """The mean loss of `parameters`, under the same draws whenever it is asked."""
    total = 0.0
    for number, rows in enumerate(torch.arange(len(latents)).split(_ENCODED)):
        random = _random(0, "held out", number)
        users, rng = latents.users(rows, random), SeededRandom(len(rows), random)
        total += float(method.loss(parameters, method.examples(_NOTHING, users, rng)).sum())
    return total / len(latents)


def _moved(before: Progress, gradients: Mapping[str, Tensor], schedule: Schedule) -> Progress:
    """AdamW (Loshchilov and Hutter, 2019, algorithm 2), then the average that is kept."""
    count = before.step + 1
    rate = _rate(before.step, schedule)
    corrected = rate * math.sqrt(1 - _BETA2**count) / (1 - _BETA1**count)
    decay = min(schedule.ema, count / (count + 9))
    arrays: dict[str, Tensor] = {}
    for name, g in gradients.items():
        first = _BETA1 * before.arrays[f"first/{name}"] + (1 - _BETA1) * g
        second = _BETA2 * before.arrays[f"second/{name}"] + (1 - _BETA2) * g.square()
        value = before.arrays[f"parameters/{name}"] * (1 - rate * schedule.weight_decay)
        value = value - corrected * first / (second.sqrt() + _TINY)
        arrays[f"parameters/{name}"], arrays[f"first/{name}"], arrays[f"second/{name}"] = value, first, second
        arrays[f"ema/{name}"] = decay * before.arrays[f"ema/{name}"] + (1 - decay) * value
    return Progress(count, arrays)


def _rate(done: int, schedule: Schedule) -> float:
    warm = min(1.0, (done + 1) / max(1, round(_WARM * schedule.steps)))
    return schedule.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done / schedule.steps))


def _random(seed: int, purpose: str, number: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}|{purpose}|{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _placed(tensors: Mapping[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in tensors.items()}
