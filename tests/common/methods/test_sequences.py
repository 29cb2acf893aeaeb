"""DP-SGD on latents that are frames: padding moves no gradient, and networks learn what they are shown."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.samplers import Sampler
from common.method import PublicState, UserBatch
from common.methods import build
from common.methods.dp_sgd import DPSGD
from tests.common.generator.sequences import frames_codec, shaken
from tests.common.methods.test_dp_sgd import Rows

FRAMES, CHANNELS, USERS, MOTIONS = 48, 2, 4, 2
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16},
    "unet": {"denoiser": "unet", "width": 16, "depth": 2},
    "transformer": {"denoiser": "transformer", "width": 16, "depth": 1},
}


def _method(name: str, **options: Any) -> DPSGD:
    method = build(
        "dp_sgd", {"replicas": 3, **NETWORKS[name], **options}, Assets(frames_codec(FRAMES, CHANNELS))
    )
    assert isinstance(method, DPSGD)
    return method


def _users() -> UserBatch:
    random = torch.Generator().manual_seed(0)
    place = (USERS, MOTIONS)
    lengths = torch.randint(40, FRAMES, place, generator=random)
    condition = Condition.of(torch.randint(0, 2, place, generator=random), 1)._replace(lengths=lengths)
    latents = torch.randn(*place, FRAMES * CHANNELS, generator=random)
    return UserBatch(latents, condition, torch.ones(place, dtype=torch.bool))


def _loss_and_gradient(method: DPSGD, users: UserBatch) -> tuple[Tensor, Tensor]:
    parameters = {n: v.requires_grad_() for n, v in shaken(method.parameters(method.init(0)), 0.1).items()}
    loss = method.loss(parameters, method.examples(PublicState(0), users, Rows(list(range(USERS)))))
    gradients = torch.autograd.grad(loss.sum(), list(parameters.values()))
    return loss.detach(), torch.cat([part.flatten() for part in gradients])


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_moves_neither_loss_nor_gradient(name: str) -> None:
    method, users = _method(name), _users()
    loss, gradient = _loss_and_gradient(method, users)
    frames = users.latents.unflatten(-1, (FRAMES, CHANNELS)).clone()
    padding = torch.arange(FRAMES) >= users.condition.lengths[..., None]
    frames[padding] = torch.nan
    other = UserBatch(frames.flatten(2), users.condition, users.mask)
    again, same = _loss_and_gradient(method, other)
    assert gradient.abs().max() > 0
    assert torch.equal(loss, again) and torch.equal(gradient, same)
    # The control: the same frames said to be motion.
    whole = users.condition._replace(lengths=torch.full_like(users.condition.lengths, FRAMES))
    frames[padding] = 5.0
    moved, _ = _loss_and_gradient(method, UserBatch(frames.flatten(2), whole, users.mask))
    assert not torch.allclose(moved, loss, rtol=0.05)


def _waves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Latents and labels: label 0 turns once in a window, label 1 three times, each from its own phase."""
    random, labels = torch.Generator().manual_seed(seed), torch.arange(count) % 2
    turns = torch.where(labels == 0, 1.0, 3.0)[:, None] * torch.arange(FRAMES) / FRAMES
    angle = 2 * math.pi * (turns + torch.rand(count, 1, generator=random))
    return 1.4 * torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1).flatten(1), labels


def _speed(motions: Tensor) -> Tensor:
    """Turns in a window, of motions `[n, frames, 2]`."""
    angle = torch.atan2(motions[..., 1], motions[..., 0])
    steps = torch.remainder(angle.diff(dim=1) + math.pi, 2 * math.pi) - math.pi
    return steps.median(dim=1).values * FRAMES / (2 * math.pi)


LONG = (pytest.mark.nightly, pytest.mark.timeout(900))


@pytest.mark.parametrize(("name", "rounds"), [("unet", 100), pytest.param("transformer", 600, marks=LONG)])
def test_training_finds_how_each_label_moves(name: str, rounds: int) -> None:
    wide: dict[str, Any] = {"width": 32, "replicas": 2, "learning_rate": 1e-2}
    if name == "transformer":
        wide = {"width": 64, "replicas": 4, "learning_rate": 2e-3}
    method = _method(name, **wide, depth=2, total_rounds=rounds, P_mean=-0.3)
    state = method.init(0)
    for step in range(rounds):
        latents, labels = _waves(16, step)
        users = UserBatch(
            latents[:, None], Condition.of(labels[:, None], FRAMES), torch.ones(16, 1, dtype=torch.bool)
        )
        parameters = {n: v.clone().requires_grad_() for n, v in method.parameters(state).items()}
        loss = method.loss(
            parameters, method.examples(PublicState(0), users, Rows([1000 * step + u for u in range(16)]))
        ).mean()
        gradients = torch.autograd.grad(loss, [parameters[part] for part in method.layout.names])
        state = method.update(
            state, method.layout.flatten(dict(zip(method.layout.names, gradients, strict=True))), 0.0
        )
    generator = method.generator(state)
    for label, turns in (("a", 1.0), ("b", 3.0)):
        for frames in (FRAMES, 40):
            motions, _ = generator.sample(24, label, 1, sampler=Sampler(name="dpm", steps=16), frames=frames)
            assert motions.shape == (24, frames, CHANNELS)
            assert float(_speed(motions).median()) == pytest.approx(turns, abs=0.4)
            assert float(motions.norm(dim=-1).median()) == pytest.approx(1.4, abs=0.3)
