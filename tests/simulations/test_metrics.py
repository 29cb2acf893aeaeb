"""The Frechet distance, against its closed form, and the evaluator, against people."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.motion.population import PRIVATE, PUBLIC
from common.motion.recording import SKELETON, Modality
from simulations.evaluation.evaluator import COMPONENTS, Evaluator
from simulations.evaluation.metrics import frechet, motion_statistics
from tests.common.people import crowd

WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x", "gyro_x"))


def test_closed_form_of_diagonal_gaussians() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4000, 3))
    rows = (rows - rows.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    a, b = rows * [1.0, 2.0, 3.0], rows * [2.0, 2.0, 1.0] + [1.0, 0.0, -2.0]
    assert frechet(a, b) == pytest.approx(5.0 + 1.0 + 0.0 + 4.0, rel=1e-6)


def test_of_a_set_with_itself_is_zero_and_the_order_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((50, 6)), rng.standard_normal((60, 6)) @ rng.standard_normal((6, 6))
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-9)


def test_stays_finite_where_the_covariance_has_no_inverse() -> None:
    line = np.outer(np.arange(5.0), np.ones(8))
    assert frechet(line, line + 1.0) == pytest.approx(8.0, rel=1e-6)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="equal width"):
        frechet(np.zeros((5, 2)), np.zeros((5, 3)))


@pytest.fixture(scope="module")
def public() -> Tensor:
    return crowd(PUBLIC, 11, 80)[0]


@pytest.fixture(scope="module")
def evaluator(public: Tensor) -> Evaluator:
    return Evaluator.fit(public, SKELETON)


def test_public_scores_have_a_total_variance_of_one(evaluator: Evaluator, public: Tensor) -> None:
    scores = evaluator.scores(public)
    assert scores.shape == (320, COMPONENTS)
    assert scores.var(axis=0).sum() == pytest.approx(1.0, rel=0.01)


def test_two_halves_of_the_people_are_closer_than_another_population(
    evaluator: Evaluator, public: Tensor
) -> None:
    people = crowd(PRIVATE, 12, 160)[0]
    floor = evaluator.frechet(people[:320], people[320:])
    assert 3 * floor < evaluator.frechet(people[:320], public)


def test_frozen_motion_is_far_from_motion(evaluator: Evaluator, public: Tensor) -> None:
    frozen = public[:, :1].expand(-1, 61, -1, -1)
    assert evaluator.frechet(public, frozen) > 0.3


def test_place_direction_and_extra_frames_are_not_looked_at(evaluator: Evaluator, public: Tensor) -> None:
    moved = public[..., [2, 1, 0]] * torch.tensor([1.0, 1.0, -1.0]) + torch.tensor([5.0, 0.0, 1.0])
    assert np.allclose(evaluator.scores(moved), evaluator.scores(public[:, :60]), atol=1e-2)
    assert motion_statistics(public).isfinite().all()


def test_sensor_windows_in_physical_units() -> None:
    random = torch.Generator().manual_seed(0)
    windows = torch.randn(200, 64, 2, generator=random) * torch.tensor([9.81, 2.0])
    evaluator = Evaluator.fit(windows, WATCH)
    louder = evaluator.frechet(windows[:100], windows[100:] * 2)
    assert evaluator.frechet(windows[:100], windows[100:]) < 0.2 * louder


def test_too_few_public_windows_are_refused(public: Tensor) -> None:
    with pytest.raises(InputError, match="more than 24 public windows, got 20"):
        Evaluator.fit(public[:20], SKELETON)
