"""Epsilon: the golden table, an upper bound, monotone, and the same number from the same events."""

from __future__ import annotations

import math
import resource

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from common.accounting import CLAIM_INTERVAL, _renyi_epsilon, calibrate, epsilon
from common.query import PrivacyEvent

GOLDEN = [
    (0.01, 1, 1000, 1e-5, 1.8282),
    (0.02, 0.8, 2000, 1e-5, 9.1427),
    (0.1, 2, 500, 1e-5, 5.5555),
    (1, 10, 100, 1e-5, 4.3772),
    (0.05, 1, 100, 1e-6, 4.1068),
]


def event(q: float, z: float, count: int) -> PrivacyEvent:
    return PrivacyEvent(noise_multiplier=z, sampling_rate=q, count=count)


def composed(q: float, z: float, count: int) -> dp_accounting.DpEvent:
    one = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(z))
    return dp_accounting.SelfComposedDpEvent(one, count)


@pytest.mark.parametrize(("q", "z", "count", "delta", "expected"), GOLDEN)
def test_epsilon_is_the_golden_value(q: float, z: float, count: int, delta: float, expected: float) -> None:
    assert epsilon([event(q, z, count)], delta) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("sites", "expected"), [(2, 2.584), (3, 3.192), (5, 4.202)])
def test_a_person_at_several_sites_under_local_noise_pays_at_each(sites: int, expected: float) -> None:
    assert epsilon([event(0.01, 1, 1000)] * sites, 1e-5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("q", "z", "count", "delta", "expected"), GOLDEN[:3])
def test_epsilon_is_that_of_an_independent_accountant(
    q: float, z: float, count: int, delta: float, expected: float
) -> None:
    theirs = PLDAccountant(value_discretization_interval=CLAIM_INTERVAL).compose(composed(q, z, count))
    ours = epsilon([event(q, z, count)], delta)
    assert theirs.get_epsilon(delta) <= ours <= theirs.get_epsilon(delta) + 2e-6


def test_the_same_events_give_the_same_number_in_any_order_and_grouping() -> None:
    parts = [event(0.1, 2, 3), event(0.5, 3, 4), event(0.1, 2, 5), event(0.5, 3, 0)]
    merged = [event(0.5, 3, 4), event(0.1, 2, 8)]
    assert epsilon(parts, 1e-5) == epsilon(reversed(parts), 1e-5) == epsilon(merged, 1e-5)


@settings(max_examples=40)
@given(
    q=st.floats(0.001, 0.9),
    z=st.floats(0.7, 20),
    count=st.integers(1, 300),
    growth=st.floats(1.05, 2),
)
def test_more_rounds_more_sampling_or_less_noise_never_cost_less(
    q: float, z: float, count: int, growth: float
) -> None:
    def cost(q: float, z: float, count: int) -> float:
        return epsilon([event(q, z, count)], 1e-5, 1e-2)

    base, slack = cost(q, z, count), 1e-6
    assert cost(q, z, count + 50) >= base - slack
    assert cost(min(1.0, q * growth), z, count) >= base - slack
    assert cost(q, z * growth, count) <= base + slack


def test_nothing_costs_nothing_and_no_noise_is_infinite() -> None:
    assert epsilon([], 1e-5) == 0
    assert epsilon([event(0.1, 0, 1)], 1e-5) == math.inf
    assert epsilon([event(0.1, 0, 0)], 1e-5) == 0


@pytest.mark.parametrize(("target", "q", "count"), [(0.5, 0.3, 50), (3.0, 0.01, 1000), (10.0, 0.5, 200)])
def test_calibrated_noise_never_exceeds_the_target_and_wastes_next_to_nothing(
    target: float, q: float, count: int
) -> None:
    z = calibrate(target, 1e-5, q, count)
    assert epsilon([event(q, z, count)], 1e-5) <= target
    assert epsilon([event(q, z / 1.001, count)], 1e-5) > target


def test_the_cheap_bound_is_a_bound_and_that_of_an_independent_accountant() -> None:
    for q, z, count, delta, pld in GOLDEN:
        orders = [*range(2, 65), 128, 256, 512]
        theirs = RdpAccountant(orders=orders).compose(composed(q, z, count)).get_epsilon(delta)
        ours = _renyi_epsilon(((z, q, count),), delta)
        assert ours == pytest.approx(theirs, rel=1e-6)
        assert ours >= pld


@pytest.mark.parametrize(
    ("q", "z", "count"), [(0.5, 1e-3, 1), (0.5, 0.05, 100), (1, 0.3, 10**6), (0.5, 1, 10**7), (1e-6, 1e-3, 1)]
)
def test_a_huge_loss_is_priced_without_filling_the_memory(q: float, z: float, count: int) -> None:
    """These took from 10 GB to 10 TB; the price stays above what any budget allows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert epsilon([event(q, z, count)], 1e-5) > 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
