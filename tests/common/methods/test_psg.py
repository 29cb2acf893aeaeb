"""PSG: the distance of the paper, a classifier taught by the set alone, and a set that finds its classes."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState
from common.methods import build
from common.methods.psg import PSG
from common.motion.recording import Modality

WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x",))
CODEC = SensorCodec(WATCH, ("a", "b"))
QUICK = {"per_label": 6, "hidden": 8, "fit_steps": 2, "width": 8, "depth": 0}


def _method(**options: float) -> PSG:
    method = build("psg", {**QUICK, **options}, Assets(CODEC))
    assert isinstance(method, PSG)
    return method


def _gradient(method: PSG, theta: dict[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """The mean over people of one motion each, as the gate would sum it without clip or noise."""
    leaves = {name: theta[name].clone().requires_grad_() for name in method.layout.names}
    row = {"latents": x[:, None], "labels": labels[:, None], "mask": torch.ones(len(x), 1, dtype=torch.bool)}
    found = torch.autograd.grad(method.loss(leaves, row).mean(), list(leaves.values()))
    return method.layout.flatten(dict(zip(leaves, found, strict=True)))


def _private(count: int) -> tuple[Tensor, Tensor]:
    """Two classes apart along the first number of a latent, at +2 and -2."""
    random = torch.Generator().manual_seed(5)
    labels = torch.arange(count) % 2
    x = 0.5 * torch.randn(count, CODEC.latent, generator=random)
    x[:, 0] += torch.where(labels == 0, 2.0, -2.0)
    return x, labels


def _gap(method: PSG, state: PublicState) -> float:
    """How far apart the classes of the set are along the first number."""
    points, own = state.arrays["ema/set"], method._labels
    return float(points[own == 0, 0].mean() - points[own == 1, 0].mean())


def _run(method: PSG, x: Tensor, labels: Tensor, rounds: int) -> PublicState:
    state = method.init(0)
    for _ in range(rounds):
        state = method.update(state, _gradient(method, method.parameters(state), x, labels), 0.0)
    return state


def test_the_distance_is_the_sum_over_layers_of_one_less_the_cosine() -> None:
    method = _method()
    theta, (x, labels) = method.parameters(method.init(0)), _private(12)
    target = method.layout.unflatten(_gradient(method, theta, x, labels))
    points = torch.randn(len(method._labels), CODEC.latent)
    own = method.layout.unflatten(_gradient(method, theta, points, method._labels))
    expected = 0.0
    for layer in ("layer0", "layer1"):
        a, b = (
            torch.cat([part[f"{layer}.weight"].flatten(), part[f"{layer}.bias"]]) for part in (own, target)
        )
        expected += 1 - float(a @ b) / (math.sqrt(float(a @ a)) * math.sqrt(float(b @ b)))
    assert float(method.distance(theta, points, target).detach()) == pytest.approx(expected, abs=1e-5)
    assert float(method.distance(theta, points, own).detach()) == pytest.approx(0.0, abs=1e-5)


def test_the_set_finds_the_classes_and_with_labels_exchanged_it_does_not() -> None:
    method, (x, labels) = _method(total_rounds=1000), _private(64)
    apart = _gap(method, _run(method, x, labels, 60))
    wrong = _gap(method, _run(method, x, 1 - labels, 60))
    assert apart > 1
    assert wrong < -1


def test_a_round_may_be_done_again_and_the_last_one_trains_the_generator() -> None:
    method, (x, labels) = _method(total_rounds=2), _private(16)
    before = method.init(3)
    mean = _gradient(method, method.parameters(before), x, labels)
    first = method.update(before, mean, 0.1)
    assert first.digest() == method.update(before, mean, 0.1).digest()
    last = method.update(first, mean, 0.1)

    def denoiser(state: PublicState) -> list[Tensor]:
        return [value for name, value in state.arrays.items() if name.startswith("denoiser/")]

    assert all(torch.equal(a, b) for a, b in zip(denoiser(before), denoiser(first), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(denoiser(first), denoiser(last), strict=True))


def test_the_classifier_learns_from_the_set_and_starts_anew_after_a_loop() -> None:
    method, (x, labels) = _method(loop=2, total_rounds=9), _private(16)
    state = _run(method, x, labels, 1)
    taught, points = method.parameters(state), state.arrays["parameters/set"]
    start = method.parameters(method.init(0))

    def loss(theta: dict[str, Tensor]) -> float:
        return float(
            torch.nn.functional.cross_entropy(method.classifier.apply(theta, points), method._labels)
        )

    assert loss(taught) < loss(start)
    again = method.parameters(_run(method, x, labels, 2))
    assert all(torch.equal(again[name], value) for name, value in method._drawn(0, 2).items())


def test_no_latent_of_the_set_goes_further_out_than_public_ones() -> None:
    """A cosine says which way and never how far: at this rate the set would go five times as far."""
    x, labels = _private(40)
    method = _method(set_rate=2.0, total_rounds=30)
    state = _run(method, x, labels, 30)
    furthest = math.sqrt(float(chi2.ppf(0.999, CODEC.latent)))
    for name in ("parameters/set", "ema/set"):
        norms = state.arrays[name].norm(dim=1)
        assert furthest * 0.999 < float(norms.max()) < furthest * 1.001


def test_motions_without_a_label_teach_nothing() -> None:
    method, (x, _) = _method(), _private(4)
    theta = method.parameters(method.init(0))
    row = {
        "latents": x[:, None],
        "labels": torch.full((4, 1), 2),
        "mask": torch.zeros(4, 1, dtype=torch.bool),
    }
    assert not bool(method.loss(theta, row).any())


def test_without_labels_there_is_nothing_to_match() -> None:
    with pytest.raises(InputError, match="psg learns from labels"):
        build("psg", {}, Assets(SensorCodec(WATCH, ("only",))))
