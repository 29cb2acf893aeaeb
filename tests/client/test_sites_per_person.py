"""A ledger charges what a person pays at all sites, and tells one shared noise from noises apart."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from common.accounting import epsilon
from common.errors import Refusal, RefusalCode
from tests.small_site import ask, make_plan, make_state, new_ledger


@pytest.mark.parametrize("trust", ["local", "central"])
def test_the_ledger_keeps_and_adds_what_a_person_at_three_sites_pays(trust: str, tmp_path: Path) -> None:
    plan = make_plan(trust=trust, sites_per_person=3, rounds=5)
    with new_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.reserve(plan, b"")
        for round in range(1, 6):
            query = ask(plan, make_state(plan, round))
            ledger.store(ledger.charge(query, query.digest(plan.trust), plan.event()), b"bytes")
        assert ledger.events(plan.digest()) == [plan.reserved()]
        assert epsilon(ledger.events(), plan.delta) == epsilon([plan.reserved()], plan.delta)
        query = ask(plan, make_state(plan, 6))
        with pytest.raises(Refusal) as caught:
            ledger.charge(query, query.digest(plan.trust), plan.event())
        assert caught.value.code is RefusalCode.BUDGET_EXHAUSTED


def test_an_event_of_another_multiplicity_is_not_what_was_reserved(tmp_path: Path) -> None:
    plan = make_plan(trust="central", sites_per_person=3)
    with new_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.reserve(plan, b"")
        query = ask(plan, make_state(plan, 1))
        with pytest.raises(Refusal) as caught:
            ledger.charge(query, query.digest("central"), replace(plan.event(), multiplicity=1))
        assert caught.value.code is RefusalCode.BUDGET_EXHAUSTED


def test_a_plan_for_more_sites_a_person_reserves_more(tmp_path: Path) -> None:
    one = make_plan(trust="central")
    budget = epsilon([one.reserved()], one.delta)
    with new_ledger(tmp_path / "ledger.sqlite", epsilon=budget) as ledger:
        with pytest.raises(Refusal) as caught:
            ledger.reserve(replace(one, sites_per_person=2), b"")
        assert caught.value.code is RefusalCode.BUDGET_EXHAUSTED
        ledger.reserve(one, b"")


def test_a_release_waits_for_no_composition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is whole numbers against the reservation, which was composed when the plan was accepted."""
    plan = make_plan(rounds=1000, sites_per_person=2)
    with new_ledger(tmp_path / "ledger.sqlite", epsilon=math.inf) as ledger:
        ledger.reserve(plan, b"")

        def never(*_: object) -> float:
            raise AssertionError("composed")

        monkeypatch.setattr("common.accounting._epsilon", never)
        state = make_state(plan, 1)
        for round in range(1, 31):
            query = ask(plan, state, round=round)
            ledger.charge(query, query.digest("local"), plan.event())
        assert ledger.events() == [plan.spent(30)]
