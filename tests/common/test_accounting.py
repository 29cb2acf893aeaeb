"""Epsilon: the golden table, an upper bound, monotone, and the same number from the same events."""

from __future__ import annotations

import math
import random
import resource
import time
from dataclasses import replace

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.optimize import brentq
from scipy.stats import norm

from common import accounting
from common.accounting import (
    CLAIM_INTERVAL,
    DISPLAY_INTERVAL,
    LARGEST_EPSILON,
    calibrate,
    epsilon,
    most_steps,
)
from common.errors import InputError
from common.event import PrivacyEvent, person_event, sensitivity

GOLDEN = [
    (0.01, 1, 1000, 1e-5, 2.1014, 1.8282),
    (0.02, 0.8, 2000, 1e-5, 10.0828, 9.1427),
    (0.1, 2, 500, 1e-5, 6.0346, 5.5555),
    (1, 10, 100, 1e-5, 4.7285, 4.3772),
    (0.05, 1, 100, 1e-6, 4.6591, 4.1068),
]
ROWS = pytest.mark.parametrize(("q", "z", "count", "delta", "rdp", "expected"), GOLDEN)


def event(q: float, z: float, count: int, multiplicity: int = 1) -> PrivacyEvent:
    return PrivacyEvent(noise_multiplier=z, sampling_rate=q, count=count, multiplicity=multiplicity)


def composed(q: float, z: float, count: int) -> dp_accounting.DpEvent:
    one = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(z))
    return dp_accounting.SelfComposedDpEvent(one, count)


@ROWS
def test_epsilon_is_the_golden_value(
    q: float, z: float, count: int, delta: float, rdp: float, expected: float
) -> None:
    assert epsilon([event(q, z, count)], delta) == pytest.approx(expected, rel=1e-3)


@pytest.mark.filterwarnings("ignore:Optimal order is the:UserWarning")  # opacus: its orders end too early
@ROWS
def test_the_golden_values_are_those_of_independent_accountants(
    q: float, z: float, count: int, delta: float, rdp: float, expected: float
) -> None:
    """Renyi bounds lie above, the numerical accountant of opacus within its own error of 0.01."""
    ours = epsilon([event(q, z, count)], delta)
    orders = [*range(2, 65), 128, 256, 512]
    google = RdpAccountant(orders=orders).compose(composed(q, z, count)).get_epsilon(delta)
    renyi, numerical = RDPAccountant(), PRVAccountant()
    renyi.history = numerical.history = [(z, q, count)]
    opacus = renyi.get_epsilon(delta, alphas=orders)
    assert google == pytest.approx(rdp, rel=1e-2)  # the table's orders were finer
    assert ours <= min(google, opacus)
    if q < 1:  # opacus takes the logarithm of zero at 1; that row has its closed form below
        assert numerical.get_epsilon(delta, eps_error=0.01) == pytest.approx(ours, abs=0.02)


@pytest.mark.parametrize(("sites", "expected"), [(2, 2.584), (3, 3.192), (5, 4.202)])
def test_a_person_at_several_sites_under_local_noise_pays_at_each(sites: int, expected: float) -> None:
    paid = person_event(
        noise_multiplier=1, sampling_rate=0.01, steps=1000, sites_per_person=sites, trust="local"
    )
    assert paid == event(0.01, 1, 1000 * sites)
    assert epsilon([paid], 1e-5) == epsilon([event(0.01, 1, 1000)] * sites, 1e-5)
    assert epsilon([paid], 1e-5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("sites", "expected"), [(2, 3.979), (5, 11.638)])
def test_a_person_at_several_sites_under_one_noise_pays_a_mixture(sites: int, expected: float) -> None:
    paid = person_event(
        noise_multiplier=1, sampling_rate=0.01, steps=1000, sites_per_person=sites, trust="central"
    )
    assert paid == event(0.01, 1, 1000, multiplicity=sites)
    assert epsilon([paid], 1e-5) == pytest.approx(expected, rel=1e-3)


def test_control_several_sites_under_one_noise_cost_more_than_as_many_events() -> None:
    """Where the noise is shared, counting events would promise too much."""
    for sites in (2, 5):
        one_noise, apart = event(0.01, 1, 1000, sites), event(0.01, 1, 1000 * sites)
        assert epsilon([one_noise], 1e-5) > 1.5 * epsilon([apart], 1e-5)


def test_everybody_always_drawn_is_a_gaussian_of_k_times_the_sensitivity() -> None:
    assert epsilon([event(1, 10, 100, 5)], 1e-5) == epsilon([event(1, 2, 100)], 1e-5)
    assert epsilon([event(0.999, 10, 100, 5)], 1e-5) == pytest.approx(
        epsilon([event(1, 2, 100)], 1e-5), rel=5e-3
    )


@pytest.mark.parametrize("delta", [1e-5, 1e-9, 1e-12])
@pytest.mark.parametrize(("count", "z"), [(1, 1.0), (100, 10.0), (50, 30.0)])
def test_full_participation_is_the_analytic_gaussian_and_never_below(
    count: int, z: float, delta: float
) -> None:
    """delta = Phi(mu / 2 - e / mu) - exp(e) Phi(-mu / 2 - e / mu) at epsilon e (Balle and Wang 2018)."""
    mu = math.sqrt(count) / z

    def excess(e: float) -> float:
        return float(norm.logcdf(mu / 2 - e / mu) - math.log(delta + math.exp(
            e + norm.logcdf(-mu / 2 - e / mu))))  # fmt: skip

    exact = brentq(excess, 0, 60, xtol=1e-9)
    assert exact <= epsilon([event(1, z, count)], delta) <= exact * (1 + 1e-4)


@pytest.mark.parametrize(("q", "z", "count", "delta"), [row[:4] for row in GOLDEN[:3]])
def test_the_claim_is_the_library_s_rounded_up(q: float, z: float, count: int, delta: float) -> None:
    theirs = PLDAccountant(value_discretization_interval=CLAIM_INTERVAL).compose(composed(q, z, count))
    ours = epsilon([event(q, z, count)], delta)
    assert theirs.get_epsilon(delta) < ours <= theirs.get_epsilon(delta) + 3e-6
    assert round(ours * 1e6) / 1e6 == ours


def test_different_events_compose_exactly() -> None:
    """Different rates, noises and local steps in one history, against the library's own composition."""
    history = [event(0.1, 2, 30), event(0.02, 1.5, 200), event(1, 40, 10), event(0.5, 6, 12)]
    theirs = PLDAccountant(value_discretization_interval=CLAIM_INTERVAL)
    for part in history:
        theirs.compose(composed(part.sampling_rate, part.noise_multiplier, part.count))
    assert epsilon(history, 1e-5) == pytest.approx(theirs.get_epsilon(1e-5), abs=5e-6)
    assert epsilon(history, 1e-5) < sum(epsilon([part], 1e-5) for part in history)


def test_the_same_events_give_the_same_number_in_any_order_and_grouping() -> None:
    parts = [event(0.1, 2, 3), event(0.5, 3, 4), event(0.1, 2, 5), event(0.5, 3, 0), event(0.1, 2, 2, 2)]
    merged = [event(0.5, 3, 4), event(0.1, 2, 2, 2), event(0.1, 2, 8)]
    values = []
    for order in (parts, list(reversed(parts)), merged):
        accounting._epsilon.cache_clear()
        accounting._single.cache_clear()
        values.append(epsilon(order, 1e-5))
    assert values[0] == values[1] == values[2]


def test_equal_histories_are_composed_once() -> None:
    """Eight sites with the same events: one composition, seven look-ups of a fraction of a millisecond."""
    accounting._epsilon.cache_clear()
    histories = [[event(0.3, 4, 25)] * 3 + [event(0.2, 3, site % 2)] for site in range(8)]
    for history in histories:
        epsilon(history, 1e-6)
    assert accounting._epsilon.cache_info().misses == 2
    start = time.process_time()
    for _ in range(100):
        epsilon(histories[0], 1e-6)
    print(f"a known history: {(time.process_time() - start) * 1e4:.1f} us")


def check_monotone(triples: int, seed: int, interval: float) -> None:
    """More rounds, more sampling, more sites or less noise never cost less."""
    draw = random.Random(seed)
    for _ in range(triples):
        q, z, count = 10 ** draw.uniform(-3, 0), 10 ** draw.uniform(-0.15, 1.5), draw.randint(1, 300)
        k = draw.choice([1, 1, 1, 2, 3])
        base = event(min(q, 1.0), z, count, k)
        growth = draw.uniform(1.05, 2)
        dearer = [
            replace(base, count=count + draw.randint(1, 100)),
            replace(base, sampling_rate=min(1.0, base.sampling_rate * growth)),
            replace(base, noise_multiplier=z / growth),
            replace(base, multiplicity=k + 1),
        ]
        cost = epsilon([base], 1e-5, interval)
        for other in dearer:
            assert epsilon([other], 1e-5, interval) >= cost - 1e-6, (base, other)


def test_more_rounds_more_sampling_more_sites_or_less_noise_never_cost_less() -> None:
    check_monotone(25, 0, 1e-2)


@pytest.mark.attack
@pytest.mark.timeout(600)
def test_monotone_over_many_triples() -> None:
    check_monotone(200, 1, 1e-2)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_monotone_over_all_triples() -> None:
    check_monotone(10_000, 2, 1e-2)


@settings(max_examples=8)
@given(q=st.floats(0.001, 1), z=st.floats(0.8, 20), count=st.integers(1, 200), k=st.integers(1, 4))
def test_a_finer_interval_only_lowers_the_claim(q: float, z: float, count: int, k: int) -> None:
    fine, coarse = (epsilon([event(q, z, count, k)], 1e-5, interval) for interval in (2e-3, 1e-2))
    assert fine <= coarse + 1e-6


def test_nothing_costs_nothing_and_no_noise_is_infinite() -> None:
    assert epsilon([], 1e-5) == 0
    assert epsilon([event(0.1, 0, 1)], 1e-5) == math.inf
    assert epsilon([event(0.1, 0, 0)], 1e-5) == 0


@pytest.mark.parametrize(
    ("target", "q", "count", "k"),
    [(0.5, 0.3, 50, 1), (3.0, 0.01, 1000, 1), (10.0, 0.5, 200, 1), (8, 0.2, 50, 3)],
)
def test_calibrated_noise_never_exceeds_the_target_and_wastes_next_to_nothing(
    target: float, q: float, count: int, k: int
) -> None:
    z = calibrate(target, 1e-5, q, count, k)
    assert epsilon([event(q, z, count, k)], 1e-5) <= target
    assert epsilon([event(q, z / 1.001, count, k)], 1e-5) > target


def test_the_most_steps_fit_and_one_more_does_not() -> None:
    step = event(0.1, 2, 3)
    steps = most_steps(4.0, 1e-5, step)
    assert epsilon([replace(step, count=3 * steps)], 1e-5) <= 4.0
    assert epsilon([replace(step, count=3 * (steps + 1))], 1e-5) > 4.0
    assert most_steps(0.01, 1e-5, step) == 0


def test_a_replaced_contribution_moves_the_sum_twice_as_far() -> None:
    """A shard's critic is exchanged, not left out: the same noise is worth half, and no sampling hides it."""
    noise_std, clip_norm = 6.0, 0.5
    added, replaced = sensitivity(clip_norm, "add_remove", 1.0), sensitivity(clip_norm, "replace", 1.0)
    assert (added, replaced) == (0.5, 1.0)
    cost = [epsilon([event(1.0, noise_std / moved, 20)], 1e-5) for moved in (added, replaced)]
    assert cost[1] == epsilon([event(1.0, 6.0, 20)], 1e-5) > 1.9 * cost[0]
    with pytest.raises(InputError, match="sampling_rate"):
        sensitivity(clip_norm, "replace", 0.5)


@pytest.mark.parametrize(
    ("q", "z", "count", "k"),
    [(0.5, 1e-3, 1, 1), (0.5, 0.05, 100, 1), (1, 0.3, 10**6, 1), (0.5, 1, 10**7, 1), (1e-5, 1e-3, 10**7, 1),
     (0.5, 1, 1000, 20), (1e-3, 0.01, 10**6, 20)],
)  # fmt: skip
def test_a_huge_loss_is_priced_without_filling_the_memory(q: float, z: float, count: int, k: int) -> None:
    """These took from 10 GB to 10 TB; the price is above what any budget allows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert epsilon([event(q, z, count, k)], 1e-5) > LARGEST_EPSILON
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_many_tiny_steps_are_priced_in_seconds_and_near_their_limit() -> None:
    """Ten million steps: by the central limit mu = q sqrt(T (e^(1/z^2) - 1)) (Bu et al. 2020)."""
    mu = 1e-3 * math.sqrt(10**7 * math.expm1(1 / 25))
    limit = brentq(
        lambda e: norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu) - 1e-5, 0, 9
    )
    found = epsilon([event(1e-3, 5, 10**7)], 1e-5)
    assert limit <= found <= 1.05 * limit


def test_a_rate_below_delta_costs_nothing_at_that_delta() -> None:
    """That is what delta permits; a site that does not want it sets min_noise_multiplier."""
    assert epsilon([event(1e-6, 1e-3, 1)], 1e-5, DISPLAY_INTERVAL) == 0
