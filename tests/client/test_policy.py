"""A site's own rules: they refuse with one code before data are read, and look at public facts only."""

from __future__ import annotations

import logging
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import client.app
from client.door import Door
from client.gate import LocalGate
from client.policy import SitePolicy
from client.site import PolicyTable
from client.speed import Speed
from client.users import Users
from common.errors import Refusal, RefusalCode
from common.noise import Source
from common.parcel import unfolded
from common.plan import Plan
from common.wire import decode_acceptance, encode_plan
from simulations.grid import InProcessGrid
from tests.client.test_app import send, site_file
from tests.secagg_round import secagg_plan
from tests.small_site import make_plan, new_ledger

POLICY = SitePolicy(unit="user", trust=("local",), methods=("dp_sgd",))
STRICT = replace(
    POLICY,
    min_noise_multiplier=1.0,
    max_sampling_rate=0.6,
    max_rounds=10,
    min_cohort=50,
    max_motions=4,
    min_sites_per_person=2,
)
PEOPLE = 100
KEPT: dict[str, Any] = {"sites_per_person": 2}
BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("min_noise_multiplier", {"noise_multiplier": 0.999}),
    ("min_noise_multiplier", {"noise_multiplier": 0.0}),
    ("max_sampling_rate", {"sampling_rate": 0.61}),
    ("max_rounds", {"rounds": 11}),
    ("min_cohort", {"sampling_rate": 0.499}),
    ("max_motions", {"options": {"motions": 5}}),
    ("min_sites_per_person", {"sites_per_person": 1}),
]


@pytest.mark.parametrize("policy", [POLICY, STRICT], ids=["plain", "strict"])
def test_a_plan_within_the_rules_is_admitted(policy: SitePolicy) -> None:
    policy.admit(make_plan(**KEPT), PEOPLE)


@pytest.mark.parametrize(
    "change", [{"unit": "record"}, {"trust": "central"}, {"method": "../x"}, {"method": ""}]
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        POLICY.admit(make_plan(**change), PEOPLE)
    assert caught.value.code is RefusalCode.POLICY


@pytest.mark.parametrize(("rule", "change"), BROKEN)
def test_each_rule_refuses_what_is_just_beyond_it(rule: str, change: dict[str, Any]) -> None:
    plan = make_plan(**{**KEPT, **change})
    with pytest.raises(Refusal, match=rule) as caught:
        STRICT.admit(plan, PEOPLE)
    assert caught.value.code is RefusalCode.POLICY
    relaxed: dict[str, Any] = {rule: getattr(POLICY, rule)}
    replace(STRICT, **relaxed).admit(plan, PEOPLE)  # control: it is this rule that refuses


@pytest.mark.parametrize(
    ("rule", "least", "plan"),
    [
        ("min_survivors", 4, secagg_plan(5, 4)),
        ("min_survivors", 5, secagg_plan(5, 5)),
        ("min_colluders", 2, secagg_plan(7, 5, 2)),
    ],
)
def test_how_few_sites_and_colluders_a_sum_may_have_is_the_sites_own_rule(
    rule: str, least: int, plan: Plan
) -> None:
    rules: dict[str, Any] = {"trust": ("local", "secagg"), rule: least}
    policy = replace(POLICY, **rules)
    policy.admit(plan, PEOPLE)
    policy.admit(make_plan(), PEOPLE)  # under local nobody depends on other sites
    with pytest.raises(Refusal, match=rule) as caught:
        replace(policy, **{**rules, rule: least + 1}).admit(plan, PEOPLE)
    assert caught.value.code is RefusalCode.POLICY
    with pytest.raises(Refusal, match="trust model"):
        POLICY.admit(plan, PEOPLE)  # secure aggregation is asked for, never on by itself


def test_the_cohort_is_counted_with_the_sites_own_constant() -> None:
    plan = make_plan(sampling_rate=0.5, **KEPT)
    STRICT.admit(plan, 100)
    with pytest.raises(Refusal, match="min_cohort"):
        STRICT.admit(plan, 99)


def test_an_option_that_is_left_out_counts_at_its_default() -> None:
    options = {key: value for key, value in make_plan().options.items() if key != "motions"}
    plan = replace(make_plan(**KEPT), options=options)
    STRICT.admit(plan, PEOPLE)  # the method takes 4 by default
    with pytest.raises(Refusal, match="max_motions"):
        replace(STRICT, max_motions=3).admit(plan, PEOPLE)


@pytest.mark.parametrize("value", [math.nan, "4", None, [1]])
def test_a_motions_option_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(Refusal, match="max_motions"):
        STRICT.admit(replace(make_plan(**KEPT), options={"motions": value}), PEOPLE)


def test_a_method_without_a_bound_on_motions_is_refused_where_one_is_asked_for() -> None:
    policy = replace(STRICT, methods=("other",))
    with pytest.raises(Refusal, match="max_motions"):
        policy.admit(make_plan(method="other", **KEPT), PEOPLE)


def test_the_file_has_every_rule_and_the_same_defaults() -> None:
    rules = {item.name: item.default for item in fields(SitePolicy)}
    table = {name: item.default for name, item in PolicyTable.model_fields.items()}
    assert set(table) | {"unit", "trust", "methods", "seeded"} == set(rules)
    assert all(rules[name] == default for name, default in table.items())


@pytest.mark.parametrize(("rule", "change"), BROKEN[:1] + BROKEN[2:4])
def test_a_refused_plan_reads_no_data_charges_nothing_and_is_explained_in_the_sites_log_alone(
    rule: str, change: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def people() -> Users:
        raise AssertionError("data were read")

    with new_ledger(tmp_path / "ledger.sqlite") as ledger, caplog.at_level(logging.WARNING, "fedmotion"):
        gate = LocalGate(
            ledger=ledger,
            policy=STRICT,
            declared_population=PEOPLE,
            people=people,
            source=Source(),
            speed=Speed(),
        )
        file = site_file(tmp_path)
        client.app.resident[file] = Door(gate)
        try:
            grid = InProcessGrid(client.app.app, 1, {"run-dir": str(tmp_path)})
            plan = make_plan(**{**KEPT, **change})
            reply = send(grid, encode_plan(plan, {}), "query.plan")
        finally:
            del client.app.resident[file]
        with pytest.raises(Refusal) as caught:
            decode_acceptance(unfolded(reply.content))
        assert caught.value.code is RefusalCode.POLICY and rule not in str(reply.content)
        assert rule in caplog.text and "POLICY" in caplog.text
        assert ledger.events() == []
        with pytest.raises(Refusal, match="no such plan"):
            ledger.plan(plan.digest())
