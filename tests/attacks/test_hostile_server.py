"""A server that asks for what it should not: plans too large, too cheap, or built to make a site tell."""

from __future__ import annotations

import math
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from client.gate import LocalGate
from client.users import Users
from common.errors import InputError, Refusal, RefusalCode
from common.generator.assets import Assets
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState, digest_arrays
from common.methods import build
from common.plan import Plan
from common.wire import encode_plan, encode_query
from tests.federation import Federation, code_of, roster_of
from tests.recording import recording
from tests.small_site import (
    CODEC,
    LABELS,
    ask,
    crowd,
    make_gate,
    make_plan,
    make_state,
    make_users,
    new_ledger,
)


def refusal(gate: LocalGate, plan: Plan, arrays: dict[str, Tensor] | None = None) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        gate.accept(plan, arrays or {})
    return caught.value.code


def codec(**changes: Any) -> dict[str, Any]:
    return {**CODEC.description(), **changes}


MODALITY = CODEC.description()["modality"]

HOSTILE: dict[str, dict[str, Any]] = {
    "a width of a million": {"options": {"width": 10**6}},
    "a width that is not a number": {"options": {"width": float("nan")}},
    "an unknown option": {"options": {"__class__": 1}},
    "an option of another type": {"options": {"width": "64"}},
    "another dimension": {"dimension": 5},
    "an endless latent": {"codec": codec(kept=10**9)},
    "an infinite latent": {"codec": codec(kept=float("inf"))},
    "a negative latent": {"codec": codec(kept=-1)},
    "no latent": {"codec": codec(kept=0)},
    "a million labels in the codec": {"codec": codec(labels=["x"] * 10**6)},
    "labels of another type": {"codec": codec(labels=7)},
    "channels of another type": {"codec": codec(modality={**MODALITY, "channels": [1, 2]})},
    "no codec": {"codec": {}},
    "an unknown codec": {"codec": codec(kind="os.system")},
    "a motion codec without arrays": {"codec": codec(kind="motion", transforms=[{"kind": "event"}])},
    "other arrays": {"arrays_digest": "0" * 64},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_plan_that_does_not_build_is_malformed_at_once_and_reserves_nothing(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    options = changes.get("options")
    plan = make_plan(**{key: value for key, value in changes.items() if key != "options"})
    if options is not None:
        fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        plan = Plan(**{**fields, "options": options})
    with new_ledger(tmp_path / "l") as ledger:
        gate = make_gate(ledger, crowd(3))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        assert refusal(gate, plan) is RefusalCode.MALFORMED
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
        assert time.process_time() - start < 20
        assert not ledger.accounts.plans


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_multiplier": 0.0},
        {"noise_multiplier": 1e-3},
        {"noise_multiplier": 0.05, "rounds": 100},
        {"rounds": 10**7},
        {"rounds": 10**7, "noise_multiplier": 0.3, "sampling_rate": 1.0},
        {"delta": 0.5},
        {"delta": 1e-12},
    ],
    ids=str,
)
def test_a_plan_past_the_budget_is_refused_without_working_it_out_at_length(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with new_ledger(tmp_path / "l", epsilon=2.0) as ledger:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert refusal(make_gate(ledger, crowd(3)), make_plan(**changes)) is RefusalCode.BUDGET_EXHAUSTED
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_absurd_numbers_cannot_become_a_plan() -> None:
    for changes in ({"clip_norm": 1e300}, {"clip_norm": 5e-324}, {"sampling_rate": 1e-300},
                    {"noise_multiplier": 1e-300}, {"dimension": 10**12}, {"rounds": 2**32}):  # fmt: skip
        with pytest.raises(InputError):
            make_plan(**changes)


class LabelOracle(SensorCodec):
    """A codec that fails on people with a certain label: a question in disguise."""

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        if bool((labels == LABELS.index("sit")).any()):
            raise IndexError("somebody sits")
        return super().encode(windows, labels)


def reply(folder: Path, users: Users, plan: Plan) -> str:
    """The code of the reply to one query, or that it is a release."""
    with new_ledger(folder / f"{len(list(folder.iterdir()))}") as ledger:
        gate = make_gate(ledger, users)
        gate.accept(plan, {})
        state = make_state(plan, 1)
        try:
            total = gate.release(ask(plan, state), state).total
        except Exception as error:
            return type(error).__name__
        assert float(total.std()) == pytest.approx(plan.noise_std, rel=0.15)
        return "release"


def test_a_codec_that_fails_on_some_people_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Assets, "from_arrays", lambda *_: Assets(LabelOracle(CODEC.modality, LABELS)))
    plan = make_plan()
    sitting, not_sitting = make_users({"ann": 2}), make_users({"ann": 1})
    assert reply(tmp_path, sitting, plan) == reply(tmp_path, not_sitting, plan) == "release"


def test_control_encoding_all_or_nothing_tells_who_sits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Assets, "from_arrays", lambda *_: Assets(LabelOracle(CODEC.modality, LABELS)))
    monkeypatch.setattr(
        "client.users._encode",
        lambda codec, raw, label, width: codec.encode(raw, torch.full((len(raw),), label)),
    )
    plan = make_plan()
    sitting, not_sitting = make_users({"ann": 2}), make_users({"ann": 1})
    assert reply(tmp_path, sitting, plan) != reply(tmp_path, not_sitting, plan)


def test_latents_of_one_plan_are_never_used_for_another(tmp_path: Path) -> None:
    """Fixed codecs share the digest of no arrays; a second plan with other labels got the first one's."""
    first = make_plan()
    few = SensorCodec(CODEC.modality, ("sit",))
    arrays = digest_arrays({})
    second = make_plan(
        run_id="second", codec=few.description(), labels=("sit",), arrays_digest=arrays, sampling_rate=1.0,
        noise_multiplier=0.0, dimension=build("dp_sgd", make_plan().options, Assets(few)).dimension,
    )  # fmt: skip
    with new_ledger(tmp_path / "l", epsilon=float("inf")) as ledger:
        gate = make_gate(ledger, crowd(5))
        for plan in (first, second):
            gate.accept(plan, {})
        state = make_state(first, 1)
        gate.release(ask(first, state), state)
        method = build("dp_sgd", second.options, Assets(few))
        other = method.broadcast(method.init(0))
        total = gate.release(ask(second, other), other).total
        assert float(total.norm()) > 0  # people with labels unknown to the stale latents fell out


@pytest.mark.parametrize("change", [{"clip_norm": 50.0}, {"noise_multiplier": 0.1}, {"sampling_rate": 1.0}])
def test_an_accepted_run_cannot_be_made_weaker(tmp_path: Path, change: dict[str, float]) -> None:
    with new_ledger(tmp_path / "l") as ledger:
        gate = make_gate(ledger, crowd(3))
        plan = make_plan()
        gate.accept(plan, {})
        weaker = make_plan(**change)
        assert refusal(gate, weaker) in (RefusalCode.POLICY, RefusalCode.BUDGET_EXHAUSTED)
        state = make_state(plan, 1)
        with pytest.raises(Refusal) as caught:
            gate.release(ask(weaker, state), state)
        assert caught.value.code is RefusalCode.UNKNOWN_PLAN
        assert ledger.events() == []


def check_near_plans(folder: Path) -> None:
    """Changed C, z, q, cohort, rounds, roster or trust: another plan, which no steward here has seen."""
    with Federation(folder, "east", "north", "west") as federation:
        federation.enrol()
        plan, north = federation.plan, federation.sites["north"]
        state = make_state(plan, 1)
        for change in NEAR:
            near = replace(plan, **change)
            assert code_of(federation, "north", encode_plan(near, {})) in ("NOT_AGREED", "POLICY"), change
            asked = encode_query(ask(near, state), state)
            assert code_of(federation, "north", asked) == "UNKNOWN_PLAN", change
        beyond = make_state(plan, plan.rounds + 1)
        assert code_of(federation, "north", encode_query(ask(plan, beyond), beyond)) == "OUTSIDE_PLAN"
        assert north.ledger.events() == [] and len(north.ledger.accounts.plans) == 1
        assert north.gate._users is None, "data were read"


def test_what_was_agreed_is_the_plan_and_nothing_near_it(tmp_path: Path) -> None:
    check_near_plans(tmp_path)


NEAR: list[dict[str, Any]] = [
    {"clip_norm": 50.0}, {"noise_multiplier": 0.1}, {"sampling_rate": 1.0}, {"rounds": 1000},
    {"sites_per_person": 2}, {"min_sites": 1}, {"colluders": 0}, {"delta": 1e-4}, {"trust": "central"},
    {"roster": roster_of("north"), "min_sites": 1},
    {"roster": roster_of("north", "puppet", "pawn")},
    {"code": "0.0.1"}, {"run_id": "another"},
]  # fmt: skip


TRAPS: dict[str, float] = {"zero": 0.0, "nan": math.nan, "infinite": math.inf, "huge": 1e38, "tiny": 1e-45}


@pytest.mark.parametrize("value", TRAPS.values(), ids=TRAPS.keys())
def test_trap_weights_get_a_clipped_and_noised_release(tmp_path: Path, value: float) -> None:
    with Federation(tmp_path, "north", "west", sampling_rate=1.0) as federation, recording() as sums:
        federation.enrol()
        plan = federation.plan
        start = make_state(plan, 1)
        trap = PublicState(0, {name: torch.full_like(part, value) for name, part in start.arrays.items()})
        total = federation.release("north", trap).total
        assert bool(torch.isfinite(total).all())
        assert float(total.std()) == pytest.approx(plan.noise_std, rel=0.15)
        assert [float(found.norm()) <= 5 * plan.clip_norm for found in sums] == [True]
