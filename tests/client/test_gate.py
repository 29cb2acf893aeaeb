"""The gate: charged before people are read, clipped, noised, repeated to the bit, or refused by a code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from client.gate import LocalGate
from client.ledger import Ledger
from client.mechanism import SampledGaussian
from client.users import Users
from common.errors import Refusal, RefusalCode
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState
from common.motion.sensors import SENSOR
from common.noise import on_grid
from common.plan import Plan
from common.query import Release
from tests.small_site import POPULATION, ask, crowd, make_gate, make_plan, make_state, make_users, new_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path / "north.sqlite", epsilon=math.inf, delta=0.5) as ledger:
        yield ledger


def released(gate: LocalGate, plan: Plan, round: int = 1, scale: float = 0.3) -> Release:
    state = make_state(plan, round, scale)
    return gate.release(ask(plan, state), state)


def refused(gate: LocalGate, plan: Plan, state: PublicState, **changes: Any) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        gate.release(ask(plan, state, **changes), state)
    return caught.value.code


def test_a_release_is_the_clipped_sum_plus_noise_of_the_stated_deviation(ledger: Ledger) -> None:
    plan = make_plan(sampling_rate=1.0)
    silent = make_plan(run_id="silent", sampling_rate=1.0, noise_multiplier=0.0)
    gate = make_gate(ledger, crowd(5), seed=3)
    for each in (plan, silent):
        gate.accept(each, {})
    total = released(gate, silent).total
    assert 0 < float(total.norm()) <= 5 * plan.clip_norm
    noises = [released(gate, plan, round).total for round in range(1, 9)]
    assert float(torch.cat(noises).std()) == pytest.approx(plan.noise_std, rel=0.02)


def test_a_unit_is_charged_before_people_are_read(ledger: Ledger) -> None:
    plan = make_plan()
    seen: list[object] = []

    def people() -> Users:
        seen.append(Ledger.read(ledger.path).events())
        return crowd(3)

    gate = make_gate(ledger, people)
    gate.accept(plan, {})
    assert not seen  # accepting reads nobody
    released(gate, plan)
    assert seen == [[plan.event()]]


def test_people_who_cannot_be_read_cost_the_charge_and_release_nothing(ledger: Ledger) -> None:
    plan = make_plan()

    def people() -> Users:
        raise OSError("disk on fire")

    gate = make_gate(ledger, people)
    gate.accept(plan, {})
    with pytest.raises(OSError, match="disk"):  # the ClientApp turns it into a code
        released(gate, plan)
    assert ledger.events() == [plan.event()]
    again = make_gate(ledger, crowd(3))
    assert released(again, plan).charge == 1


@pytest.mark.parametrize("count", [0, 1, 40])
def test_nobody_one_or_many_drawn_make_a_release_of_the_same_length_with_noise(
    ledger: Ledger, count: int
) -> None:
    plan = make_plan(sampling_rate=1e-6 if count == 40 else 0.5)
    gate = make_gate(ledger, crowd(count))
    gate.accept(plan, {})
    total = released(gate, plan).total
    assert total.shape == (plan.dimension,)
    assert float(total.std()) == pytest.approx(plan.noise_std, rel=0.1)


def test_the_latest_query_again_gets_the_same_bytes_and_no_new_charge(ledger: Ledger) -> None:
    plan = make_plan()
    gate = make_gate(ledger, crowd(5))
    gate.accept(plan, {})
    first, again = released(gate, plan), released(make_gate(ledger, crowd(9)), plan)
    assert first.total.numpy().tobytes() == again.total.numpy().tobytes()
    assert (first.charge, first.query_digest) == (again.charge, again.query_digest)
    other = released(gate, plan, scale=0.5)
    assert not torch.equal(other.total, first.total)
    assert refused(gate, plan, make_state(plan, 1)) is RefusalCode.STALE
    assert ledger.events() == [plan.spent(2)]


def test_a_crash_between_charge_and_bytes_uses_the_charge_once_more_with_fresh_draws(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    lost: list[bytes] = []

    def crash(self: Ledger, charge: object, payload: bytes) -> None:
        lost.append(payload)
        raise KeyboardInterrupt

    gate = make_gate(ledger, crowd(5))
    gate.accept(plan, {})
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "store", crash)
        with pytest.raises(KeyboardInterrupt):
            released(gate, plan)
    after = released(gate, plan)
    assert after.total.numpy().tobytes() != lost[0]
    assert ledger.events() == [plan.event()]


def test_several_steps_each_carry_the_full_noise_and_are_charged(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(steps_per_round=4, sampling_rate=1.0)
    noises, sums = [], []
    real_noise, real_sum = SampledGaussian.noise, LocalGate._clipped_sum

    def noise(self: SampledGaussian, round: int, step: int) -> Any:
        noises.append(real_noise(self, round, step))
        return noises[-1]

    def clipped(self: LocalGate, *arguments: Any) -> Any:
        sums.append(real_sum(self, *arguments))
        return sums[-1]

    monkeypatch.setattr(SampledGaussian, "noise", noise)
    monkeypatch.setattr(LocalGate, "_clipped_sum", clipped)
    gate = make_gate(ledger, crowd(5))
    gate.accept(plan, {})
    total = released(gate, plan).total
    assert len(noises) == len(sums) == 4
    for drawn in noises:
        assert float(drawn.std()) == pytest.approx(plan.noise_std, rel=0.06)
    noised = [on_grid(s + n, plan.noise_std) for s, n in zip(sums, noises, strict=True)]
    mean = torch.stack(noised).mean(dim=0)
    assert torch.allclose(total, mean.to(torch.float32))
    assert not torch.equal(sums[0], sums[1])
    assert ledger.events()[0].count == 4


def test_queries_outside_the_plan_are_refused_by_code(ledger: Ledger) -> None:
    plan = make_plan()
    gate = make_gate(ledger, crowd(5))
    gate.accept(plan, {})
    state = make_state(plan, 1)
    assert refused(gate, plan, state, round=0) is RefusalCode.OUTSIDE_PLAN
    assert refused(gate, plan, state, round=9) is RefusalCode.OUTSIDE_PLAN
    assert refused(gate, plan, state, run_id="other") is RefusalCode.OUTSIDE_PLAN
    assert refused(gate, plan, state, plan_digest="0" * 64) is RefusalCode.UNKNOWN_PLAN
    assert refused(gate, plan, state, state_digest="0" * 64) is RefusalCode.MALFORMED
    foreign = make_plan(clip_norm=5.0)
    assert refused(gate, foreign, state) is RefusalCode.UNKNOWN_PLAN
    assert ledger.events() == []


@pytest.mark.parametrize("harm", ["missing", "shape", "empty", "double", "half", "integer"])
def test_a_state_without_the_plans_parameters_is_refused_before_the_charge(ledger: Ledger, harm: str) -> None:
    plan = make_plan()
    gate = make_gate(ledger, crowd(5))
    gate.accept(plan, {})
    arrays = dict(make_state(plan, 1).arrays)
    name = "parameters/output.weight"
    kinds = {"double": torch.float64, "half": torch.float16, "integer": torch.int64}
    if harm == "missing":
        del arrays[name]
    elif harm in kinds:
        arrays[name] = arrays[name].to(kinds[harm])
    else:
        arrays[name] = arrays[name][:-1] if harm == "shape" else torch.empty(0)
    assert refused(gate, plan, PublicState(0, arrays)) is RefusalCode.MALFORMED
    assert ledger.events() == []


@pytest.mark.parametrize("harm", ["nan", "huge"])
def test_whatever_parameters_a_server_sends_the_sum_stays_clipped_and_noised(
    ledger: Ledger, harm: str
) -> None:
    plan = make_plan(sampling_rate=1.0)
    arrays = dict(make_state(plan, 1).arrays)
    for name in arrays:
        arrays[name] = torch.full_like(arrays[name], math.nan if harm == "nan" else 1e38)
    gate = make_gate(ledger, crowd(5))
    gate.accept(plan, {})
    state = PublicState(0, arrays)
    total = gate.release(ask(plan, state), state).total
    assert bool(torch.isfinite(total).all())
    assert float(total.std()) == pytest.approx(plan.noise_std, rel=0.1)


def test_under_central_trust_no_sum_is_kept_and_a_repeat_is_the_same(ledger: Ledger) -> None:
    plan = make_plan(trust="central")
    gate = make_gate(ledger, crowd(12))
    gate.accept(plan, {})
    first = released(gate, plan)
    (paid,) = ledger.accounts.plan(plan.digest()).paid
    assert paid.stored is not None and len(ledger._book.attachment(paid.stored)) == 32
    again = released(make_gate(ledger, crowd(12)), plan)
    assert torch.equal(first.total, again.total)
    assert ledger.events() == [plan.event()]
    assert float(first.total.norm()) <= 12 * plan.clip_norm  # and not noised here


def test_a_site_that_does_not_allow_central_trust_refuses_it(ledger: Ledger) -> None:
    gate = make_gate(ledger, crowd(3), trust=("local",))
    with pytest.raises(Refusal) as caught:
        gate.accept(make_plan(trust="central"), {})
    assert caught.value.code is RefusalCode.POLICY


@pytest.mark.parametrize("count", [0, 3])
def test_a_plan_for_other_motions_is_refused_alike_with_people_and_without(
    ledger: Ledger, count: int
) -> None:
    codec = SensorCodec(replace(SENSOR, window=32), ("jump", "sit", "walk"))
    plan = make_plan(codec=codec.description())
    gate = make_gate(ledger, crowd(count))
    gate.accept(plan, {})
    assert refused(gate, plan, make_state(plan, 1)) is RefusalCode.POLICY


def test_a_full_disk_sends_nothing(ledger: Ledger) -> None:
    plan = make_plan()
    gate = make_gate(ledger, crowd(3))
    gate.accept(plan, {})
    pages = ledger._book.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._book.connection.execute(f"PRAGMA max_page_count = {pages}")
    assert refused(gate, plan, make_state(plan, 1)) is RefusalCode.UNAVAILABLE


def test_an_acceptance_says_public_constants_only(ledger: Ledger) -> None:
    plan = make_plan()
    said = [make_gate(ledger, crowd(count)).accept(plan, {}) for count in (0, 50)]
    assert said[0] == said[1]
    assert said[0].declared_population == POPULATION


def test_units_are_computed_together_only_where_places_do_not_matter(ledger: Ledger) -> None:
    plan = make_plan()
    odd = make_plan(run_id="odd", options={"width": 7, "depth": 2, "motions": 1, "replicas": 1})
    gate = make_gate(ledger, crowd(3))
    for each in (plan, odd):
        gate.accept(each, {})
    assert gate._accepted(plan.digest()).chosen.widths[0] == 64
    assert gate._accepted(odd.digest()).chosen.widths == (1,)


def test_a_person_with_broken_data_changes_nobody_elses_contribution(ledger: Ledger) -> None:
    plan = make_plan(sampling_rate=1.0, noise_multiplier=0.0)
    whole = {"ann": 3, "bob": 2, "eve": 5}
    broken = make_users(whole)
    broken._raw[3] = math.nan  # bob's
    broken._raw[4] = math.inf
    without = make_users({name: count for name, count in whole.items() if name != "bob"})
    totals = []
    for number, users in enumerate((broken, without)):
        each = replace(plan, run_id="run")
        with new_ledger(ledger.path.with_name(f"{number}.sqlite"), epsilon=math.inf) as own:
            gate = make_gate(own, users, seed=1)
            gate.accept(each, {})
            totals.append(released(gate, each).total)
    assert torch.equal(*totals)
