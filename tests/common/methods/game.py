"""People and randomness for the tests of adversarial methods, and rounds without clip."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.sensor_codec import SensorCodec
from common.method import GradientMethod, Method, PublicState, UserBatch, VectorMethod
from common.methods import build
from common.motion.recording import Modality

CODEC: Final = SensorCodec(Modality(kind="sensor", rate=50.0, window=16, channels=("acc_x",)), ("a", "b"))
SMALL: Final[dict[str, Any]] = {
    "width": 8, "critic_width": 12, "bank": 32, "draw_steps": 3, "generator_batch": 64,
}  # fmt: skip


class Chance:
    """Draws of so many people, from a seed."""

    def __init__(self, people: int, seed: int) -> None:
        self._people, self._random = people, torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._people, *shape, generator=self._random)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self._people, *shape, generator=self._random)


def method(name: str, **options: Any) -> Method:
    return build(name, {**SMALL, **options}, Assets(CODEC))


def people(count: int, shift: float = 0.0) -> UserBatch:
    """Three motions each, the last of them missing for every other person."""
    random = torch.Generator().manual_seed(5)
    latents = torch.randn(count, 3, CODEC.latent, generator=random) + shift
    labels = torch.randint(0, 2, (count, 3), generator=random)
    mask = torch.ones(count, 3, dtype=torch.bool)
    mask[::2, 2] = False
    return UserBatch(latents, Condition.of(labels, 1), mask)


def moved(rule: Method, seed: int = 3) -> PublicState:
    """The first state with a critic that says something."""
    random, start = torch.Generator().manual_seed(seed), rule.init(0)
    arrays = {
        name: value + 0.2 * torch.randn(value.shape, generator=random)
        if name.startswith("critic/parameters/")
        else value
        for name, value in start.arrays.items()
    }
    return PublicState(0, arrays)


def played(rule: Method, users: UserBatch, rounds: int) -> PublicState:
    """The state after so many rounds in which everyone takes part, without clip and noise."""
    state = rule.init(0)
    for round in range(rounds):
        parameters = rule.parameters(state)
        examples = rule.examples(rule.broadcast(state), users, Chance(len(users), round))
        if isinstance(rule, VectorMethod):
            mean = rule.contributions(parameters, examples).mean(dim=0)
        else:
            assert isinstance(rule, GradientMethod)
            leaves = {name: parameters[name].clone().requires_grad_() for name in sorted(parameters)}
            found = torch.autograd.grad(rule.loss(leaves, examples).mean(), list(leaves.values()))
            mean = torch.cat([part.flatten() for part in found])
        state = rule.update(state, mean, 0.0)
    return state
