"""Mean random features: the paper's vector, less what the public prior gives; and what is learnt of it."""

from __future__ import annotations

import math

import pytest
import torch

from common.generator.frequencies import drawn_frequencies, waves
from tests.mean_embedding import SHIFT, drawn_mean, made, moved_points
from tests.small_site import CODEC, LABELS

MASS, REST = 0.25, math.sqrt(1 - 0.25**2)


def test_a_contribution_is_the_mean_over_motions_of_features_in_the_place_of_their_label() -> None:
    method = made("dp_merf", count=5)
    state = method.init(0)
    frequencies = state.arrays["features/frequencies"].double()
    x = torch.randn(1, 3, CODEC.latent, generator=torch.Generator().manual_seed(0))
    examples = {"latents": x, "labels": torch.tensor([[2, 0, 2]]), "mask": torch.tensor([[True, True, True]])}
    expected = torch.zeros(len(LABELS) + 1, 11, dtype=torch.float64)
    for motion, label in zip(x[0].double(), (2, 0, 2), strict=True):
        expected[label, 0] += MASS / 3
        for i, w in enumerate(frequencies):
            angle, prior = float(w @ motion), math.exp(-float(w @ w) / 2)
            expected[label, 1 + i] += REST * (math.cos(angle) - prior) / math.sqrt(5) / 3
            expected[label, 6 + i] += REST * math.sin(angle) / math.sqrt(5) / 3
    found = method.contributions(method.parameters(state), examples)[0].double()
    assert torch.allclose(found, expected.flatten(), atol=1e-6)


def test_a_motion_that_is_not_there_moves_nothing_even_where_it_is_not_a_number() -> None:
    method = made("dp_merf", count=5)
    x = torch.randn(1, 2, CODEC.latent)
    examples = {"latents": x, "labels": torch.zeros(1, 2, dtype=torch.int64), "mask": torch.ones(1, 2) > 0}
    parameters = method.parameters(method.init(0))
    alone = method.contributions(parameters, {name: part[:, :1] for name, part in examples.items()})
    examples["mask"], examples["latents"][0, 1] = torch.tensor([[True, False]]), math.nan
    assert torch.allclose(method.contributions(parameters, examples), alone, atol=1e-7)


def test_gaussian_frequencies_give_the_gaussian_kernel() -> None:
    frequencies = drawn_frequencies("gaussian", 20_000, 6, 2.0, 0)
    x, y = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    prior = torch.cat([torch.exp(-frequencies.square().sum(dim=1) / 2), torch.zeros(20_000)]) / 20_000**0.5
    kernel = (waves(frequencies, x) + prior) @ (waves(frequencies, y) + prior)
    assert float(kernel) == pytest.approx(math.exp(-float((x - y).square().sum()) / 8), abs=0.02)


def test_features_of_public_latents_are_zero_on_average() -> None:
    x = torch.randn(100_000, 6, generator=torch.Generator().manual_seed(1))
    for kind in ("ordered", "gaussian"):
        assert float(waves(drawn_frequencies(kind, 30, 6, 2.0, 0), x).mean(dim=0).norm()) < 0.02


def test_ordered_frequencies_are_single_coordinates_then_pairs_then_any() -> None:
    frequencies = drawn_frequencies("ordered", 6 + 30 + 4, 6, 3.0, 0)
    used = (frequencies != 0).sum(dim=1)
    assert used.tolist() == [1] * 6 + [2] * 30 + [6] * 4
    assert torch.allclose(frequencies[:36].square().sum(dim=1), torch.tensor(6 / 9))
    assert len(torch.unique(frequencies, dim=0)) == 40


@pytest.mark.parametrize("kind", ["ordered", "gaussian"])
def test_the_generator_draws_an_action_where_people_perform_it(kind: str) -> None:
    means = drawn_mean(made("dp_merf", count=64, frequencies=kind), noise=0.0005)
    assert float(means[0, 0]) == pytest.approx(SHIFT, abs=0.4)
    assert abs(float(means[1, 0])) < 0.4
    assert abs(float(means[2, 0])) < 0.4, "nobody performs it: as the public does"


def test_where_noise_explains_the_difference_points_stay_public() -> None:
    moved, start = moved_points(made("dp_merf", count=64), claimed=0.05)
    assert torch.equal(moved, start)
    moved, start = moved_points(made("dp_merf", count=64), claimed=0.0005)
    assert not torch.equal(moved[0], start[0])
    assert torch.equal(moved[2], start[2]), "nobody performs it"


def test_an_update_is_a_function_of_its_arguments() -> None:
    method = made("dp_merf", count=16, fit_steps=5)
    mean = torch.randn(method.dimension, generator=torch.Generator().manual_seed(2)) * 0.05
    first, second = (method.update(method.init(0), mean, 0.01) for _ in range(2))
    assert first.digest() == second.digest()
    assert first.digest() != method.update(method.init(0), mean * 2, 0.01).digest()
