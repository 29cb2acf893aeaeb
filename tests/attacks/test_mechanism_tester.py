"""Ten thousand releases of two neighbouring data sets are told apart no better than claimed (T7).

For fixed thresholds of what is seen, P[seen | one] - e^epsilon P[seen | other] may not exceed
the accountant's delta(epsilon), in both orders, for one release and for two. Frequencies get
exact binomial bounds at a level so small that a sound build is rejected once in 10^4 runs of
the whole test. Every coordinate of a release is one experiment (see `tests.canaries`).
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from numpy.typing import NDArray
from scipy.stats import beta

from tests.canaries import Push, install, push_plan, releases
from tests.sabotage import apply

DIMENSION = 2000
EPSILONS = (0.0, 0.5, 1.0, 2.0)
THRESHOLDS = np.linspace(-8, 8, 129)
LEVEL = 1e-12
"""Of one comparison: 10^-4 over all those of the nightly run, with room."""

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Neighbouring data sets: `others` push each coordinate by so much in both, one person more in one."""

    noise_multiplier: float
    sampling_rate: float
    others: tuple[float, ...]
    person: float


def pairs(count: int) -> list[Pair]:
    """Every first one has nobody else; the person pushes up or down, far past the clip or just to it."""
    draw = random.Random(0)
    return [
        Pair(
            noise_multiplier=draw.uniform(0.6, 1.2),
            sampling_rate=draw.uniform(0.4, 0.7),
            others=tuple(draw.uniform(-1.5, 1.5) for _ in range(number % 3)),
            person=draw.choice([-50.0, -1.1, 1.1, 50.0]),
        )
        for number in range(count)
    ]


@functools.cache
def allowed(noise_multiplier: float, sampling_rate: float, count: int) -> list[float]:
    """delta of `count` releases at each of EPSILONS, an upper bound by PLD."""
    one = pld.from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sampling_rate, value_discretization_interval=1e-3
    )
    return [float(one.self_compose(count).get_delta_for_epsilon(epsilon)) for epsilon in EPSILONS]


def site(folder: Path, pair: Pair, pushes: list[float], coordinates: int) -> Samples:
    """Two rounds of sites whose every coordinate is pushed by `pushes`, `[2, coordinates]`."""
    plan = push_plan(
        DIMENSION, noise_multiplier=pair.noise_multiplier, sampling_rate=pair.sampling_rate, rounds=2
    )
    people: list[Push] = [(place, size) for size in pushes for place in range(DIMENSION)]
    runs = [releases(folder, plan, people, None, rounds=2) for _ in range(coordinates // DIMENSION)]
    return np.concatenate(runs, axis=1)


def excess(one: Samples, other: Samples, delta: list[float]) -> float:
    """How far P[one > t] - e^epsilon P[other > t] is certainly above delta(epsilon), at worst over t."""
    n = len(one)
    above = [n - np.searchsorted(np.sort(values), THRESHOLDS, side="right") for values in (one, other)]
    low = np.where(above[0] > 0, beta.ppf(LEVEL, above[0], n - above[0] + 1), 0.0)
    high = np.where(above[1] < n, beta.ppf(1 - LEVEL, above[1] + 1, n - above[1]), 1.0)
    return max(
        float((low - math.exp(epsilon) * high).max()) - d for epsilon, d in zip(EPSILONS, delta, strict=True)
    )


def told_apart(folder: Path, pair: Pair, samples: int) -> bool:
    """Whether the releases of `pair` are certainly further apart than claimed."""
    without = site(folder, pair, list(pair.others), samples)
    within = site(folder, pair, [*pair.others, pair.person], samples)
    views: list[tuple[Callable[[Samples], Samples], int]] = [
        (lambda seen: seen[0], 1),
        (lambda seen: seen[0] + seen[1], 2),
        (lambda seen: seen[0] - seen[1], 2),
        (lambda seen: np.abs(seen[0] - seen[1]), 2),
    ]
    for view, rounds in views:
        delta = allowed(pair.noise_multiplier, pair.sampling_rate, rounds)
        for sign, (a, b) in itertools.product((1, -1), ((within, without), (without, within))):
            if excess(sign * view(a), sign * view(b), delta) > 0:
                return True
    return False


def check_tester_accepts(folder: Path, count: int, samples: int = 10_000) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        rejected = [pair for pair in pairs(count) if told_apart(folder, pair, samples)]
    assert not rejected


def test_neighbours_are_told_apart_no_better_than_the_accountant_says(tmp_path: Path) -> None:
    check_tester_accepts(tmp_path, 2)


@pytest.mark.attack
@pytest.mark.timeout(600)
def test_ten_pairs_of_neighbours_are_told_apart_no_better_than_claimed(tmp_path: Path) -> None:
    check_tester_accepts(tmp_path, 10)


@pytest.mark.attack
@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", ["half_noise", "no_clip", "reused_seed", "no_noise", "everyone_drawn"])
def test_control_each_defect_is_seen_within_five_pairs(tmp_path: Path, defect: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        apply(defect, patch)
        assert any(told_apart(tmp_path, pair, 10_000) for pair in pairs(5))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("run", range(20))
def test_fifty_pairs_are_accepted_twenty_times_of_twenty(tmp_path: Path, run: int) -> None:
    check_tester_accepts(tmp_path, 50)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("defect", ["half_noise", "no_clip", "reused_seed"])
def test_control_each_defect_is_rejected_three_times_of_three(tmp_path: Path, defect: str, run: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        apply(defect, patch)
        assert any(told_apart(tmp_path, pair, 10_000) for pair in pairs(50))
