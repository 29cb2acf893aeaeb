"""A plan from public facts: noise that meets the budget, in whole numbers with shares and colluders too."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from common.accounting import calibrate, epsilon
from common.errors import InputError
from common.integer_noise import KERNEL
from common.plan import Plan
from common.roster import Member
from server.planning import Terms, fewest, make_plan
from tests.small_site import OPTIONS, assets_of

TERMS = Terms(
    method="dp_sgd", units=200, rounds=20, epsilon=4.0, delta=1e-5, sampling_rate=0.2, clip_norm=0.3,
    unit="user", trust="secagg", options=OPTIONS,
)  # fmt: skip


def plan_for(sites: int, **changes: Any) -> Plan:
    roster = tuple(Member(site=f"s{i:03}", key=f"{i:064x}", population=20) for i in range(1, sites + 1))
    return make_plan(replace(TERMS, roster=roster, **changes), assets_of("dp_sgd", OPTIONS))


@pytest.mark.parametrize(("sites", "colluders", "k"), [(2, 1, 1), (5, 2, 1), (20, 3, 3), (100, 10, 1)])
def test_what_the_whole_numbers_are_worth_meets_the_budget(sites: int, colluders: int, k: int) -> None:
    """Epsilon of the run is that of the PLD at the effective multiplier, its slack within the margin."""
    plan = plan_for(sites, colluders=colluders, sites_per_person=k)
    asked = calibrate(4.0, 1e-5, 0.2, 20, k)
    assert asked <= plan.effective_noise_multiplier < plan.noise_multiplier
    assert plan.effective_noise_multiplier == pytest.approx(asked, rel=1e-9)
    assert plan.reserved().multiplicity == k and plan.reserved().count == 20
    assert 3.99 < epsilon([plan.reserved()], plan.delta) <= 4.0


@pytest.mark.parametrize(("sites", "least", "colluders"), [(4, 3, 1), (10, 9, 4), (20, 15, 6)])
def test_the_shares_of_m_sites_less_c_colluders_are_the_whole_noise(
    sites: int, least: int, colluders: int
) -> None:
    """As many drop out as may and c of the rest subtract their own: what stays is what is claimed."""
    plan = plan_for(sites, min_sites=least, colluders=colluders)
    hidden = (least - colluders) * plan.share_variance
    bound = plan.clip_norm * plan.scale
    assert hidden == pytest.approx((plan.noise_multiplier * bound) ** 2)
    worth = math.sqrt(hidden - KERNEL**2) / bound
    assert worth == pytest.approx(plan.effective_noise_multiplier, rel=1e-9)
    assert hidden - plan.share_variance < (plan.effective_noise_multiplier * bound) ** 2


def test_rounding_to_whole_numbers_costs_next_to_nothing_and_the_sum_fits() -> None:
    for sites in (2, 10, 100):
        plan = plan_for(sites)
        loss = math.sqrt(plan.dimension / 3) / (plan.clip_norm * plan.scale)  # of C, in root mean square
        assert loss < 1e-3
        assert plan.effective_noise_multiplier > plan.noise_multiplier * (1 - 1e-3)
        assert plan.modulus_bits == 32


def test_by_default_all_of_few_sites_and_nine_in_ten_of_many_make_a_round() -> None:
    assert [fewest("secagg", n) for n in (2, 9, 10, 19, 20, 100)] == [2, 9, 9, 18, 18, 90]
    assert fewest("local", 100) == fewest("central", 3) == 1
    assert plan_for(30).min_sites == 27


@pytest.mark.parametrize(
    ("sites", "changes", "said"),
    [
        (0, {}, "trust secagg adds up several sites, and the run has 0: take 2 or more"),
        (1, {}, "trust secagg adds up several sites, and the run has 1: take 2 or more"),
        (5, {"min_sites": 3}, "min_sites is 3: it must be over half of 5 sites + 1 colluders"),
        (3, {"colluders": 3}, "colluders is 3: it must be at least 1 and below min_sites under secagg"),
        (3, {"steps_per_round": 2}, "steps_per_round above 1 needs trust = local"),
    ],
)
def test_what_would_not_hold_is_refused_in_one_line(sites: int, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        plan_for(sites, **changes)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_without_noise_there_are_sums_and_no_claim() -> None:
    plan = plan_for(3, epsilon=math.inf)
    assert plan.noise_multiplier == plan.effective_noise_multiplier == 0 and plan.scale > 1
    assert plan.guarantee == "none"
