"""The one-run audit: its bound against closed forms, its errors against its confidence."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import beta

from simulations.evaluation.audit import Audit, audit, epsilon_lower_bound, p_value


@pytest.mark.parametrize("m", [10, 100, 1000])
def test_all_right_without_delta_is_the_closed_form(m: int) -> None:
    """q^m = 0.05 at q = e^epsilon / (1 + e^epsilon)."""
    q = 0.05 ** (1 / m)
    assert epsilon_lower_bound(m, m, m, delta=0) == pytest.approx(math.log(q / (1 - q)), abs=2e-6)


@pytest.mark.parametrize(("guesses", "correct"), [(20, 18), (200, 190), (500, 330), (1000, 600)])
def test_without_delta_it_is_the_interval_of_clopper_and_pearson(guesses: int, correct: int) -> None:
    q = beta.ppf(0.05, correct, guesses - correct + 1)
    found = epsilon_lower_bound(5000, guesses, correct, delta=0)
    assert found == pytest.approx(math.log(q / (1 - q)), abs=2e-6)


def test_coin_flips_refute_nothing() -> None:
    assert epsilon_lower_bound(1000, 200, 100, delta=1e-5) == 0
    assert epsilon_lower_bound(1000, 200, 0, delta=1e-5) == 0


def test_a_larger_delta_or_confidence_and_fewer_right_only_lower_the_bound() -> None:
    deltas = [epsilon_lower_bound(1000, 200, 190, delta) for delta in (0, 1e-6, 1e-5, 1e-4, 1e-3, 0.1)]
    assert deltas == sorted(deltas, reverse=True) and deltas[-1] == 0
    rights = [epsilon_lower_bound(1000, 200, right, 1e-5) for right in range(200, 90, -10)]
    assert rights == sorted(rights, reverse=True)
    assert epsilon_lower_bound(1000, 200, 190, 1e-5, 0.99) < epsilon_lower_bound(1000, 200, 190, 1e-5)


@pytest.mark.parametrize("delta", [0, 1e-5, 1e-3])
def test_the_p_value_grows_with_epsilon_so_that_the_search_is_sound(delta: float) -> None:
    found = [p_value(1000, 200, 180, epsilon, delta) for epsilon in np.linspace(0, 12, 200)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(found))


def test_the_term_of_delta_is_the_theorems() -> None:
    """By hand for r = v = 2: P[W = 2] + 2 m delta max(P[W = 1] / 1, P[W <= 1] / 2)."""
    q = math.e / (1 + math.e)
    by_hand = q**2 + 2 * 2 * 0.01 * max(2 * q * (1 - q), (1 - q**2) / 2)
    assert p_value(2, 2, 2, 1.0, 0.01) == pytest.approx(by_hand)


def test_a_mechanism_that_is_as_private_as_it_says_is_contradicted_one_time_in_twenty() -> None:
    """Randomised response at epsilon 1 is the worst case: about 5 % of audits are wrong, as stated."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(1000):
        truth = random.random(200) < 0.5
        kept = random.random(200) < math.e / (1 + math.e)
        wrong += audit(np.where(kept, truth, ~truth), truth, 200, delta=0).contradicts(1.0)
    assert 15 <= wrong <= 65


def test_guesses_are_the_highest_and_the_lowest_scores() -> None:
    truth = np.array([True, True, False, False, True, False])
    found = audit([9.0, 8.0, -1.0, 7.0, 0.0, 1.0], truth, 4, delta=1e-5)
    assert found == Audit(canaries=6, guesses=4, correct=3, delta=1e-5, confidence=0.95, epsilon=0.0)


@pytest.mark.parametrize(
    ("scores", "included", "guesses"),
    [([1.0, 2.0], [True], 2), ([1.0, math.nan], [True, False], 2), ([1.0] * 4, [True] * 4, 3),
     ([1.0] * 4, [True] * 4, 0), ([1.0] * 4, [True] * 4, 6), ([[1.0] * 2] * 2, [[True] * 2] * 2, 2)],
)  # fmt: skip
def test_what_cannot_be_audited_is_said(scores: object, included: object, guesses: int) -> None:
    with pytest.raises(ValueError, match=r"guesses|canary"):
        audit(scores, included, guesses, delta=1e-5)  # type: ignore[arg-type]


def test_impossible_counts_are_said() -> None:
    with pytest.raises(ValueError, match="correct <= guesses"):
        p_value(10, 5, 6, 1.0, 0.0)
