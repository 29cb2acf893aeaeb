"""DP-SGD: one vector a person, from that person alone, and training that finds the data."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.samplers import Sampler
from common.generator.sensor_codec import SensorCodec
from common.method import GradientMethod, PublicState, UserBatch
from common.methods import build, options_of
from common.methods.dp_sgd import DPSGD
from common.motion.recording import Modality

WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x",))
CODEC = SensorCodec(WATCH, ("a", "b"))
USERS, MOTIONS = 6, 3


class Rows:
    """Randomness of which row u is the same whatever the other rows are."""

    def __init__(self, people: list[int]) -> None:
        self._people = [torch.Generator().manual_seed(person) for person in people]

    def normal(self, *shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=person) for person in self._people])

    def uniform(self, *shape: int) -> Tensor:
        return torch.stack([torch.rand(shape, generator=person) for person in self._people])


def _method(**options: float) -> DPSGD:
    method = build("dp_sgd", {"width": 12, "replicas": 4, **options}, Assets(CODEC))
    assert isinstance(method, DPSGD)
    return method


def _users() -> UserBatch:
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(USERS, MOTIONS, CODEC.latent, generator=random)
    labels = torch.randint(0, 2, (USERS, MOTIONS), generator=random)
    mask = torch.arange(MOTIONS) <= torch.arange(USERS)[:, None] % MOTIONS
    return UserBatch(latents, Condition.of(labels, 1), mask)


def _somewhere(method: GradientMethod) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(3)
    start = method.parameters(method.init(0))
    return {n: v + 0.1 * torch.randn(v.shape, generator=random) for n, v in start.items()}


def _gradients(method: GradientMethod, users: UserBatch, people: list[int]) -> Tensor:
    """Per-user gradients `[users, dimension]` by vmap."""
    parameters, examples = _somewhere(method), method.examples(PublicState(0), users, Rows(people))

    def one(values: dict[str, Tensor], row: dict[str, Tensor]) -> Tensor:
        return method.loss(values, {name: value[None] for name, value in row.items()})[0]

    each = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0))(parameters, examples)
    return torch.cat([each[name].flatten(1) for name in sorted(each)], dim=1)


def test_per_user_gradients_by_vmap_equal_those_one_by_one() -> None:
    method, users, people = _method(), _users(), list(range(USERS))
    together = _gradients(method, users, people)
    assert together.shape == (USERS, method.dimension)
    for u in range(USERS):
        parameters = {n: v.requires_grad_() for n, v in _somewhere(method).items()}
        loss = method.loss(parameters, method.examples(PublicState(0), users, Rows(people)))
        assert loss.shape == (USERS,)
        alone = torch.autograd.grad(loss[u], [parameters[name] for name in sorted(parameters)])
        assert torch.allclose(together[u], torch.cat([g.flatten() for g in alone]), atol=1e-5)


def test_a_person_does_not_depend_on_the_others() -> None:
    method, users = _method(label_dropout=0.3), _users()
    some = [4, 1]
    part = UserBatch(users.latents[some], users.condition.at(torch.tensor(some)), users.mask[some])
    whole = _gradients(method, users, list(range(USERS)))
    assert torch.allclose(_gradients(method, part, some), whole[some], atol=1e-6)


def test_absent_sequences_do_not_count() -> None:
    method, users = _method(), _users()
    latents = torch.where(users.mask[..., None], users.latents, torch.tensor(50.0))
    other = UserBatch(latents, users.condition, users.mask)
    people = list(range(USERS))
    assert torch.equal(_gradients(method, users, people), _gradients(method, other, people))


def test_nobody_contributes_nothing() -> None:
    method, users = _method(), _users()
    nobody = UserBatch(users.latents, users.condition, torch.zeros_like(users.mask))
    assert not _gradients(method, nobody, list(range(USERS))).any()


def test_label_dropout_is_shared_by_the_replicas_of_a_sequence() -> None:
    method, users = _method(label_dropout=0.5), _users()
    labels = method.examples(PublicState(0), users, Rows(list(range(USERS))))["labels"]
    assert labels.shape == (USERS, MOTIONS)
    dropped = labels == len(CODEC.labels)
    assert 0 < int(dropped.sum()) < dropped.numel()
    assert torch.equal(labels[~dropped], users.condition.labels[~dropped])


def _train(method: DPSGD, users: UserBatch, rounds: int) -> PublicState:
    state = method.init(0)
    for step in range(rounds):
        parameters = {n: v.clone().requires_grad_() for n, v in method.parameters(state).items()}
        people = [1000 * step + u for u in range(len(users))]
        loss = method.loss(parameters, method.examples(PublicState(0), users, Rows(people))).mean()
        names = method.layout.names
        gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
        state = method.update(state, method.layout.flatten(dict(zip(names, gradients, strict=True))), 0.0)
    return state


def test_training_finds_the_data_of_each_label() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1]).expand(64, 2)
    means = torch.where(labels == 0, 1.5, -1.5)[..., None]
    latents = means + 0.5 * torch.randn(64, 2, CODEC.latent, generator=random)
    users = UserBatch(latents, Condition.of(labels, 1), torch.ones(64, 2, dtype=torch.bool))
    method = _method(total_rounds=120, learning_rate=0.03)
    generator = method.generator(_train(method, users, 120))
    for name, mean in (("a", 1.5), ("b", -1.5)):
        windows, _ = generator.sample(400, name, seed=1, sampler=Sampler(name="heun"))
        drawn = CODEC.encode(windows, torch.zeros(400, dtype=torch.int64))
        assert float(drawn.mean()) == pytest.approx(mean, abs=0.15)
        assert float(drawn.std(dim=0).mean()) == pytest.approx(0.5, abs=0.15)


def test_only_parameters_are_broadcast() -> None:
    method = _method()
    state = method.update(method.init(0), torch.ones(method.dimension), 0.0)
    sent = method.broadcast(state)
    assert sent.round == 1
    assert all(name.startswith("parameters/") for name in sent.arrays)
    assert sum(value.numel() for value in sent.arrays.values()) == method.dimension
    moved = method.parameters(sent)
    assert all(torch.equal(value, moved[name]) for name, value in method.parameters(state).items())


def test_update_is_a_function_of_state_and_mean() -> None:
    method = _method()
    mean = torch.randn(method.dimension, generator=torch.Generator().manual_seed(0))
    first, second = (method.update(method.init(0), mean, 0.0) for _ in range(2))
    assert first.digest() == second.digest()
    assert first.digest() != method.update(method.init(0), -mean, 0.0).digest()


def test_a_local_step_goes_down_the_gradient() -> None:
    method = _method(local_rate=0.5)
    parameters = method.parameters(method.init(0))
    moved = method.local_step(parameters, torch.ones(method.dimension))
    assert all(torch.allclose(moved[name], value - 0.5) for name, value in parameters.items())


def test_options_survive_json() -> None:
    method = _method(learning_rate=0.004, depth=2)
    options = json.loads(json.dumps(options_of(method)))
    assert options["width"] == 12
    assert build("dp_sgd", options, Assets(CODEC)) == method


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dpsgd", {}, "unknown method 'dpsgd': did you mean dp_sgd"),
        ("dp_sgd", {"widht": 3}, "unknown option 'widht'.*width"),
        ("dp_sgd", {"learning_rate": float("nan")}, "learning_rate.*number from 1e-07 to 1.0, got nan"),
        ("dp_sgd", {"width": 0}, "'width'.*whole number from 1 to 2048, got 0"),
        ("dp_sgd", {"width": 2.5}, "whole number"),
        ("dp_sgd", {"replicas": True}, "whole number"),
        ("dp_sgd", {"ema": "0.9"}, "number from 0.0"),
    ],
)
def test_wrong_options_are_refused_by_name(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(name, options, Assets(CODEC))
