"""GS-WGAN: critics as in the paper, gradients of samples as autograd has them, samples that find people."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState, UserBatch
from common.methods import build
from common.methods.gs_wgan import GSWGAN
from common.motion.recording import Modality
from tests.common.methods.test_dp_sgd import Rows

WATCH = Modality(kind="sensor", rate=50.0, window=32, channels=("acc_x",))
CODEC = SensorCodec(WATCH, ("a", "b"))
MOTIONS = 3
SMALL: dict[str, Any] = {
    "width": 12, "motions": MOTIONS, "samples": 12, "critic_width": 8, "critic_steps": 2, "warm_steps": 0,
}  # fmt: skip


def _method(**options: Any) -> GSWGAN:
    method = build("gs_wgan", {**SMALL, **options}, Assets(CODEC))
    assert isinstance(method, GSWGAN)
    return method


def _users(people: list[int], where: float = 0.0) -> UserBatch:
    drawn = [torch.randn(MOTIONS, CODEC.latent, generator=torch.Generator().manual_seed(p)) for p in people]
    latents = where + 0.3 * torch.stack(drawn)
    labels = torch.tensor([[p % 2, 0, 1] for p in people])
    mask = torch.tensor([[True, True, p % 3 > 0] for p in people])
    return UserBatch(latents, Condition.of(labels, 1), mask)


def _played(method: GSWGAN, people: list[int]) -> tuple[PublicState, dict[str, Tensor], Tensor]:
    """State, examples and critics somewhere in the middle."""
    state = method.init(0)
    examples = method.examples(state, _users(people), Rows(people))
    memory = method.beginning(method.parameters(state), examples)
    for _ in range(3):
        memory = method.answers(method.parameters(state), examples, memory)[1]
    return state, examples, memory


def _critic(method: GSWGAN, memory: Tensor) -> dict[str, Tensor]:
    theta = method._layout.unflatten(memory[: method._layout.dimension])
    return {name: value.clone().requires_grad_() for name, value in theta.items()}


def test_an_answer_is_the_gradient_of_the_generators_loss_in_the_samples() -> None:
    method = _method()
    state, examples, memory = _played(method, [1, 2, 4])
    vectors, after = method.answers(method.parameters(state), examples, memory)
    assert float(vectors.norm()) > 0.01
    for unit in range(3):
        x, labels = state.arrays["samples"].clone().requires_grad_(), state.arrays["labels"]
        level = method.critic.apply(_critic(method, after[unit]), x, labels)
        own = examples["labels"][unit][examples["mask"][unit]]
        share = sum((labels == y).float() / (labels == y).sum() / len(own) for y in own)
        (expected,) = torch.autograd.grad(-math.sqrt(method.samples) * (share * level).sum(), x)
        assert torch.allclose(vectors[unit], expected.flatten(), atol=1e-6)


@pytest.mark.parametrize("penalty", ["between", "samples"])
def test_a_critics_step_is_adam_on_its_loss(penalty: str) -> None:
    """By plain autograd, twice through: WGAN-GP of one person's motions against the samples."""
    method = _method(critic_steps=1, penalty=penalty)
    state, examples, memory = _played(method, [1])
    after = method.answers(method.parameters(state), examples, memory)[1][0]
    theta, x, labels = _critic(method, memory[0]), state.arrays["samples"], state.arrays["labels"]
    loss = torch.zeros(())
    uniform, mixing = (examples[f"round/{name}"][0, 0] for name in ("partner", "mixing"))
    for motion in range(MOTIONS):
        real, label = examples["latents"][0, motion], examples["labels"][0, motion]
        alike = x[labels == label]
        other = alike[int(uniform[motion] * len(alike))]
        false = method.critic.apply(theta, alike, label.expand(len(alike)))
        true = method.critic.apply(theta, real, label)
        where = alike if penalty == "samples" else (mixing[motion] * (real - other) + other)[None]
        where = where.clone().requires_grad_()
        level = method.critic.apply(theta, where, label.expand(len(where))).sum()
        (slope,) = torch.autograd.grad(level, where, create_graph=True)
        norm = slope.square().sum(dim=1)
        given = norm.mean() if penalty == "samples" else ((norm + 1e-12).sqrt() - 1).square().mean()
        drift = false.square().mean() + (true.square() if penalty == "between" else 0.0)
        loss = loss + (false.mean() - true + method.penalty_weight * given + 1e-3 * drift) / MOTIONS
    g = method._layout.flatten(dict(zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True)))
    size = method._layout.dimension
    second = 0.9 * memory[0, size:-1] + 0.1 * g.square()
    step = memory[0, -1] + 1
    moved = memory[0, :size] - method.critic_rate * g / ((second / (1 - 0.9**step)).sqrt() + 1e-8)
    assert torch.allclose(after[size:-1], second, rtol=1e-3, atol=1e-9)
    large = g.abs() > 1e-4
    assert torch.allclose(after[:size][large], moved[large], atol=1e-5)
    assert after[-1] == step


def test_samples_of_an_action_that_a_person_never_shows_get_nothing_from_the_person() -> None:
    method = _method()
    users = _users([1, 2])
    users.condition.labels[0] = 0
    users.mask[0] = True
    state = method.init(0)
    examples = method.examples(state, users, Rows([1, 2]))
    vector = method.contributions(method.parameters(state), examples)[0].reshape(method.samples, -1)
    others = state.arrays["labels"] != 0
    assert bool(others.any()) and not bool(vector[others].any()) and bool(vector[~others].any())


def test_a_person_without_motions_of_any_sample_gives_zero() -> None:
    method = _method()
    users = _users([1])
    users.mask[:] = False
    state = method.init(0)
    examples = method.examples(state, users, Rows([1]))
    assert not bool(method.contributions(method.parameters(state), examples).any())


def test_the_server_draws_the_same_samples_again_and_moves_them_against_the_gradient() -> None:
    method = _method(learning_rate=1e-4)
    state = method.init(5)
    parameters = {n[len("parameters/") :]: v for n, v in state.arrays.items() if n.startswith("parameters/")}
    labels, drawn = method._drawn(parameters, 5, 0)
    assert torch.equal(drawn, state.arrays["samples"]) and torch.equal(labels, state.arrays["labels"])
    mean = torch.randn(method.dimension, generator=torch.Generator().manual_seed(1))
    once, again = (method.update(state, mean, 0.1) for _ in range(2))
    assert once.digest() == again.digest()
    moved = {n[len("parameters/") :]: v for n, v in once.arrays.items() if n.startswith("parameters/")}
    after = method._drawn(moved, 5, 0)[1]
    assert float(((after - drawn).flatten() * mean).sum()) < 0
    assert not torch.equal(once.arrays["samples"], drawn)


def _distance(method: GSWGAN, rounds: int, sign: float) -> list[float]:
    """From the samples' mean to that of people who stand at 1, before and after training."""
    people = list(range(12))
    state, memory = method.init(0), None
    found = [float((state.arrays["samples"].mean(dim=0) - 1).norm())]
    for _ in range(rounds):
        parameters = method.parameters(state)
        examples = method.examples(state, _users(people, 1.0), Rows([100 * state.round + p for p in people]))
        memory = method.beginning(parameters, examples) if memory is None else memory
        vectors, memory = method.answers(parameters, examples, memory)
        state = method.update(state, sign * vectors.mean(dim=0), 0.0)
    return [*found, float((state.arrays["samples"].mean(dim=0) - 1).norm())]


@pytest.mark.parametrize("penalty", ["between", "samples"])
def test_samples_move_to_where_people_are(penalty: str) -> None:
    """And away from them where the gradient is turned round."""
    method = _method(penalty=penalty, critic_steps=5, total_rounds=100)
    before, after = _distance(method, 30, 1.0)
    assert after < 0.7 * before
    assert _distance(method, 30, -1.0)[1] > after
