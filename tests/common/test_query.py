"""Plans: ranges that leave no room for absurd numbers, and digests that name every field."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from common.errors import InputError
from common.plan import Plan
from common.query import Acceptance
from common.roster import Member
from tests.small_site import ask, make_plan, make_state

MEMBER = Member(site="north", key="0" * 64, population=20)

BAD: list[tuple[str, Any]] = [
    *(("clip_norm", v) for v in (0, -1.0, math.nan, math.inf, 1e300, 5e-324)),
    *(("noise_multiplier", v) for v in (-1.0, math.nan, math.inf, 1e-300, 1e9)),
    *(("sampling_rate", v) for v in (0.0, -0.1, 1.0001, math.nan, 1e-12)),
    *(("delta", v) for v in (0.0, 1.0, math.nan, 1e-300)),
    *(("rounds", v) for v in (0, -1, 2**32)),
    *(("steps_per_round", v) for v in (0, 2**31)),
    *(("dimension", v) for v in (0, 10**12)),
    *(("run_id", v) for v in ("", "../../etc/passwd", "a b", "x\ny", "a" * 65, "é")),
    *(("unit", v) for v in ("group", "")),
    *(("trust", v) for v in ("secagg", "")),
    *(("sites_per_person", v) for v in (0, -1, 21, 2**31)),
    ("labels", tuple(str(i) for i in range(1001))),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=lambda value: str(value)[:20])
def test_an_absurd_plan_cannot_be_made(key: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(**{key: value})
    assert "\n" not in str(caught.value).replace(str(value), "")
    assert len(str(caught.value)) < 200


def test_several_steps_a_round_need_local_noise() -> None:
    assert make_plan(steps_per_round=3).event().count == 3
    with pytest.raises(InputError, match="trust"):
        make_plan(steps_per_round=3, trust="central")


def test_noise_and_its_event_come_from_the_same_fields() -> None:
    plan = make_plan(noise_multiplier=1.5, clip_norm=0.2, rounds=7, steps_per_round=3)
    assert plan.noise_std == pytest.approx(0.3)
    assert (plan.event().noise_multiplier, plan.event().sampling_rate) == (1.5, 0.5)
    assert plan.reserved().count == 21


@pytest.mark.parametrize("trust", ["local", "central"])
def test_a_person_at_several_sites_pays_at_each_or_meets_under_one_noise(trust: str) -> None:
    plan = make_plan(trust=trust, sites_per_person=3, rounds=7)
    local = trust == "local"
    for event, rounds in ((plan.event(), 1), (plan.spent(4), 4), (plan.reserved(), 7)):
        assert event.count == rounds * (3 if local else 1)
        assert event.multiplicity == (1 if local else 3)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"noise_multiplier": 0}, "no privacy guarantee: trained without noise"),
        ({"run_id": "test-7"}, "no privacy guarantee: trained in test mode"),
        (
            {"noise_multiplier": 0, "run_id": "test-7"},
            "no privacy guarantee: trained without noise and trained in test mode",
        ),
    ],
)
def test_a_plan_that_promises_nothing_says_why(change: dict[str, Any], warning: str) -> None:
    assert (make_plan(**change).guarantee, make_plan(**change).warning) == ("none", warning)


def test_a_plan_says_what_it_promises() -> None:
    assert (make_plan().guarantee, make_plan().warning) == ("differential privacy", None)
    assert make_plan(unit="record").guarantee == "differential privacy of single records only"


def test_every_field_of_a_plan_is_in_its_digest() -> None:
    changes: dict[str, Any] = {
        "run_id": "other", "method": "m", "options": {"width": 9}, "dimension": 5, "clip_norm": 0.6,
        "noise_multiplier": 2.5, "sampling_rate": 0.25, "unit": "record", "trust": "central", "rounds": 9,
        "steps_per_round": 2, "delta": 1e-6, "codec": {"kind": "motion"}, "arrays_digest": "0",
        "labels": ("jump", "sit"), "loss_weight": 0.1, "sites_per_person": 3, "coordinator_key": "0" * 64,
        "text": {"kind": "template"}, "roster": (MEMBER,), "min_sites": 2, "colluders": 2, "scale": 2,
        "modulus_bits": 64, "code": "1.0", "compression": "bf16", "keep": 0.5, "shard_size": 4,
    }  # fmt: skip
    assert set(changes) == {field.name for field in fields(Plan)}
    alone = {"options", "keep", "shard_size"}
    plans = [make_plan(), *(make_plan(**{key: value}) for key, value in changes.items() if key not in alone)]
    plans.append(make_plan(options={"width": 9}))
    plans += [make_plan(sampling_rate=1.0, shard_size=size) for size in (0, 4)]
    plans += [make_plan(compression="top_k", keep=keep) for keep in (0.5, 1.0)]
    assert len({plan.digest() for plan in plans}) == len(plans)


def test_a_query_is_named_by_all_its_fields_and_the_trust_model() -> None:
    plan = make_plan()
    state = make_state(plan, 1)
    queries = [ask(plan, state), ask(plan, state, round=2), ask(plan, state, run_id="x"),
               ask(plan, state, plan_digest="p"), ask(plan, state, state_digest="s")]  # fmt: skip
    digests = {query.digest("local") for query in queries} | {queries[0].digest("central")}
    assert len(digests) == 6


@pytest.mark.parametrize(("site", "population"), [("a\nb", 5), ("<script>", 5), ("a", 0), ("a", 2**63)])
def test_a_site_cannot_declare_nonsense(site: str, population: int) -> None:
    with pytest.raises(InputError):
        Acceptance(site=site, plan_digest="", declared_population=population)


def test_a_plan_nested_too_deep_to_be_read_again_cannot_be_made() -> None:
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InputError, match="codec is nested deeper"):
        make_plan(codec={"kind": deep})
