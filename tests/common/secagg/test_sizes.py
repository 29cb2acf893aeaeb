"""How fine whole numbers are and how many bits their sum needs, from public facts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import binom

from common.errors import InputError
from common.integer_noise import toward_zero
from common.plan import MOST_BOUND, Plan
from common.secagg.sizes import Sizes, largest_sum, most_people, sizes_for
from tests.secagg_round import secagg_plan


def sizes(plan: Plan, **changes: Any) -> Sizes:
    given = {
        name: getattr(plan, name)
        for name in (
            "clip_norm", "dimension", "noise_multiplier", "sampling_rate", "roster", "min_sites", "colluders",
        )
    }  # fmt: skip
    return sizes_for(**{**given, **changes})


def sized(plan: Plan, **changes: Any) -> Plan:
    found = sizes(plan, **changes)
    return replace(plan, scale=found.scale, modulus_bits=found.modulus_bits, **changes)


@pytest.mark.parametrize("dimension", [10, 1000, 100_000])
def test_rounding_costs_less_than_a_thousandth_of_the_clip_norm(dimension: int) -> None:
    plan = secagg_plan(5, 4, dimension=dimension)
    scale = sizes(plan).scale
    rows = torch.randn(20, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows *= plan.clip_norm / rows.norm(dim=1, keepdim=True)
    lost = (rows - toward_zero(rows, scale) / scale).norm(dim=1) / plan.clip_norm
    typical = float(lost.square().mean().sqrt())
    assert 1e-4 < typical < 1e-3 and float(lost.max()) < 2e-3  # and not far finer than needed


@pytest.mark.parametrize(
    ("noise_multiplier", "clip_norm"), [(0.0, 1.0), (1e-3, 1.0), (0.5, 1e-6), (50.0, 1e6), (1e3, 1.0)]
)
def test_a_plan_of_these_sizes_is_sound_and_charged_what_it_says(
    noise_multiplier: float, clip_norm: float
) -> None:
    plan = sized(secagg_plan(7, 5), noise_multiplier=noise_multiplier, clip_norm=clip_norm, dimension=2000)
    assert plan.clip_norm * plan.scale <= MOST_BOUND
    assert plan.effective_noise_multiplier == pytest.approx(noise_multiplier, rel=2.1e-4)
    assert plan.effective_noise_multiplier <= noise_multiplier
    assert largest_sum(plan) <= 2 ** (plan.modulus_bits - 2)


def test_thirty_two_bits_serve_small_sums_and_sixty_four_the_rest() -> None:
    plan = secagg_plan(5, 4, dimension=10_000)
    assert sizes(plan).modulus_bits == 32
    crowded = tuple(replace(member, population=10**6) for member in plan.roster)
    assert sizes(plan, roster=crowded).modulus_bits == 64


def test_what_no_whole_number_can_hold_is_refused_in_words() -> None:
    plan = secagg_plan(5, 4)
    with pytest.raises(InputError, match="finer than whole numbers"):
        sizes(plan, clip_norm=1e-6, dimension=10**8)
    with pytest.raises(InputError, match="31 bits"):
        sizes(plan, noise_multiplier=1e-3, clip_norm=1e6, dimension=10**15)
    with pytest.raises(InputError, match="64 bits"):
        crowded = tuple(replace(member, population=10**9) for member in plan.roster)
        sizes(plan, roster=crowded, sampling_rate=1.0, dimension=10**12)


@pytest.mark.parametrize("population", [1, 20, 1000, 10**6])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.9, 1.0])
def test_hardly_ever_are_more_people_drawn_than_the_sum_has_room_for(population: int, rate: float) -> None:
    most = most_people(population, rate)
    assert most <= population
    assert most == population or binom.logsf(most, population, rate) < -80 * math.log(2)


def test_the_largest_sum_counts_everybody_who_may_be_drawn() -> None:
    plan = secagg_plan(5, 4, noise_multiplier=0.0, sampling_rate=1.0)
    people = sum(member.population for member in plan.roster)
    assert largest_sum(plan) == people * plan.clip_norm * plan.scale
    noisy = replace(plan, noise_multiplier=1.0)
    spread = math.sqrt(noisy.share_variance * len(plan.roster))
    assert largest_sum(noisy) == math.ceil(largest_sum(plan) + 40 * spread)
