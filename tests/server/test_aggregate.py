"""The mean: divided by public constants; under central trust noised here, once, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from common.noise import Source
from common.plan import Plan
from common.query import Release
from common.vector import Vector
from server.aggregate import Sum
from tests.small_site import make_plan


def added(plan: Plan, totals: dict[str, tuple[Vector, int]]) -> Sum:
    found = Sum(plan.dimension)
    for site, (total, population) in totals.items():
        release = Release(site=site, run_id=plan.run_id, round=1, query_digest="", charge=1, total=total)
        found.add(release, population)
    return found


def test_the_mean_is_the_sum_over_declared_constants() -> None:
    plan = make_plan(sampling_rate=0.25)
    totals = {"a": (torch.full((plan.dimension,), 3.0), 10), "b": (torch.full((plan.dimension,), 5.0), 30)}
    mean = added(plan, totals).mean(plan, Source(), 1)
    assert torch.allclose(mean, torch.full((plan.dimension,), 8 / (0.25 * 40)))


def test_under_local_trust_the_server_adds_nothing() -> None:
    plan = make_plan()
    zeros = {"a": (torch.zeros(plan.dimension), 10)}
    assert float(added(plan, zeros).mean(plan, Source(), 1).abs().max()) == 0


@pytest.mark.parametrize("sites", [1, 5])
def test_under_central_trust_noise_is_added_once_however_many_sites_there_are(sites: int) -> None:
    plan = make_plan(trust="central", noise_multiplier=3.0, clip_norm=0.2)
    zeros = {f"s{i}": (torch.zeros(plan.dimension), 10) for i in range(sites)}
    means = torch.cat([added(plan, zeros).mean(plan, Source(), 1) for _ in range(20)])
    assert float(means.std()) * plan.sampling_rate * 10 * sites == pytest.approx(0.6, rel=0.02)


def test_rounds_have_noise_of_their_own() -> None:
    plan = make_plan(trust="central")
    zeros = added(plan, {"a": (torch.zeros(plan.dimension), 10)})
    assert not torch.equal(zeros.mean(plan, Source(1), 1), zeros.mean(plan, Source(1), 2))
    assert not torch.equal(zeros.mean(plan, Source(), 1), zeros.mean(plan, Source(), 1))


def test_an_empty_sum_under_central_trust_is_noised_like_any_other() -> None:
    plan = make_plan(trust="central")
    nothing = Sum(plan.dimension, populations=[10])
    assert float(nothing.mean(plan, Source(), 1).std()) > 0


def test_many_small_terms_are_summed_in_double() -> None:
    plan = make_plan(sampling_rate=1.0)
    terms = {"big": (torch.full((plan.dimension,), 1e8), 1)}
    terms |= {f"s{i}": (torch.ones(plan.dimension), 1) for i in range(50)}
    mean = added(plan, terms).mean(plan, Source(), 1)
    assert float(mean[0]) * 51 == pytest.approx(1e8 + 50, abs=10)
