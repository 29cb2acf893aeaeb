"""Hostile messages at a real ClientApp before a real gate: refused by code, or answered clipped and noised.

There are no noise shares yet (every site adds the full noise), so what "a share above 1" would
be is here a plan with less noise than it should have: negative, not a number, or none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Message, RecordDict

from common.errors import Refusal, RefusalCode
from common.parcel import unfolded
from common.plan import Plan
from common.wire import decode_release, encode_plan, encode_query, encode_release
from protos import gate_pb2
from tests.attacks.test_non_interference import site
from tests.recording import World
from tests.small_site import as_sent, ask, crowd, make_gate, make_plan, make_state, make_users, new_ledger

PLAN = make_plan()


def said(folder: Path, messages: list[tuple[str, RecordDict]], **ledger: float) -> tuple[list[str], int]:
    """The codes (or Accepted, Release) of a fresh site's replies, and how many plans it then holds."""
    with new_ledger(folder / "ledger", **ledger) as book:
        gate = make_gate(book, crowd(5), trust=("local",))
        with site(folder, gate) as grid:
            found = []
            for kind, content in messages:
                (reply,) = grid.send_and_receive([Message(as_sent(content), 2, kind)])
                header = unfolded(reply.content).config_records["header"]
                code = gate_pb2.Refused.FromString(header["body"]).code  # type: ignore[arg-type]
                found.append(code if header["kind"] == "Refused" else str(header["kind"]))
        plans = len(book.accounts.plans)
    return found, plans


def forged(**fields: Any) -> RecordDict:
    """A plan on the wire with fields that no Plan object would take."""
    content = encode_plan(PLAN, {})
    header = gate_pb2.Plan.FromString(content.config_records["header"]["body"])  # type: ignore[arg-type]
    for name, value in fields.items():
        setattr(header, name, value)
    content.config_records["header"]["body"] = header.SerializeToString()
    return content


WRONG: list[dict[str, Any]] = [
    {"sampling_rate": 1.0001}, {"sampling_rate": -0.5}, {"sampling_rate": 0.0}, {"sampling_rate": math.nan},
    {"noise_multiplier": -2.0}, {"noise_multiplier": math.nan}, {"noise_multiplier": math.inf},
    {"noise_multiplier": 1e-9}, {"clip_norm": math.inf}, {"clip_norm": math.nan}, {"clip_norm": -1.0},
    {"clip_norm": 0.0}, {"dimension": 2**63}, {"dimension": 0}, {"rounds": 0}, {"steps_per_round": 0},
    {"delta": 1.0}, {"delta": -1e-5}, {"delta": math.nan}, {"unit": "window"}, {"trust": "secagg"},
    {"run_id": "../../etc/passwd"}, {"run_id": ""}, {"options_json": "[]"}, {"options_json": "{"},
    {"options_json": '{"width": NaN}'}, {"codec_json": "null"},
]  # fmt: skip


@pytest.mark.parametrize("fields", WRONG, ids=str)
def test_a_plan_of_impossible_numbers_is_malformed_and_reserves_nothing(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    fields = {**fields, "dimension": min(fields.get("dimension", PLAN.dimension), 2**62)}
    assert said(tmp_path, [("query.plan", forged(**fields))]) == (["MALFORMED"], 0)


PATHS = ["../../etc", "dp_sgd/../x", "/etc/passwd", "dp_sgd\0", "common.methods.dp_sgd", "DP_SGD", "__init__",
         "dp_sgd ", "", "x" * 100_000]  # fmt: skip


@pytest.mark.parametrize("name", PATHS, ids=lambda name: repr(name[:20]))
def test_a_methods_name_is_looked_up_and_never_a_path(tmp_path: Path, name: str) -> None:
    """By the site's list, and where a careless site lists it, by the table of methods."""
    plan = replace(PLAN, method=name)
    assert said(tmp_path, [("query.plan", encode_plan(plan, {}))]) == (["POLICY"], 0)
    with new_ledger(tmp_path / "careless") as ledger:
        gate = make_gate(ledger, crowd(3), methods=(name,))
        with pytest.raises(Refusal) as caught:
            gate.accept(plan, {})
        assert caught.value.code is RefusalCode.MALFORMED


def check_cheap_plans_are_refused(folder: Path) -> None:
    """No noise, hardly any, or too many rounds: past any finite budget."""
    cheap: list[dict[str, Any]] = [
        {"noise_multiplier": 0.0}, {"noise_multiplier": 0.01}, {"noise_multiplier": 0.3, "rounds": 10**6},
        {"sampling_rate": 1.0, "noise_multiplier": 0.2},
    ]  # fmt: skip
    for number, changes in enumerate(cheap):
        (folder / f"cheap{number}").mkdir()
        codes, plans = said(
            folder / f"cheap{number}", [("query.plan", encode_plan(make_plan(**changes), {}))], epsilon=8.0
        )
        assert (codes, plans) == (["BUDGET_EXHAUSTED"], 0), changes


def test_a_plan_without_the_noise_it_needs_is_refused(tmp_path: Path) -> None:
    check_cheap_plans_are_refused(tmp_path)


def check_policy(folder: Path) -> None:
    """What the site's own file does not allow is refused before anything is reserved."""
    for number, plan in enumerate([replace(PLAN, trust="central"), replace(PLAN, unit="record")]):
        (folder / f"policy{number}").mkdir()
        assert said(folder / f"policy{number}", [("query.plan", encode_plan(plan, {}))]) == (["POLICY"], 0)


def test_a_plan_against_the_sites_own_rules_is_refused(tmp_path: Path) -> None:
    check_policy(tmp_path)


def outcomes(folder: Path, plan: Plan) -> list[str]:
    """A run of two rounds with everything asked again, out of turn, and in other runs' names."""
    one, two = make_state(plan, 1), make_state(plan, 2)
    other = replace(plan, run_id="other", clip_norm=plan.clip_norm * 10)

    def train(state: Any, **changes: Any) -> tuple[str, RecordDict]:
        return "train", encode_query(ask(plan, state, **changes), state)

    messages = [
        ("query.plan", encode_plan(plan, {})),
        train(one), train(one), train(two), train(one), train(two),
        train(make_state(plan, 3)),  # a round more than accepted
        train(one, run_id="other"), train(one, round=0),
        train(one, plan_digest=other.digest()),
        ("train", encode_query(ask(plan, one, round=2), two)),  # a swapped state
    ]  # fmt: skip
    return said(folder, messages)[0]


def check_replays(folder: Path) -> None:
    """The latest query again is repeated to the byte; everything else out of turn is refused."""
    plan = make_plan(rounds=2)
    (folder / "replays").mkdir()
    assert outcomes(folder / "replays", plan) == [
        "Accepted", "Release", "Release", "Release", "STALE", "Release",
        "OUTSIDE_PLAN", "OUTSIDE_PLAN", "OUTSIDE_PLAN", "UNKNOWN_PLAN", "MALFORMED",
    ]  # fmt: skip
    world = World(folder / "repeat", plan, None)
    first, again = world.release(crowd(5)).total, world.release(crowd(9)).total
    assert torch.equal(first, again)
    assert world.ledger.events() == [plan.event()]


def test_replayed_foreign_and_further_queries_are_refused(tmp_path: Path) -> None:
    check_replays(tmp_path)


@pytest.mark.parametrize("key", ["clip_norm", "noise_multiplier", "sampling_rate", "rounds", "delta"])
def test_an_accepted_runs_numbers_cannot_be_changed_under_its_name(tmp_path: Path, key: str) -> None:
    changed = replace(PLAN, **{key: getattr(PLAN, key) * 2})
    messages = [("query.plan", encode_plan(plan, {})) for plan in (PLAN, changed, PLAN)]
    assert said(tmp_path, messages) == (["Accepted", "POLICY", "Accepted"], 1)


BOMBS: dict[str, Callable[[Any], None]] = {
    "giant": lambda raw: raw.mul_(1e30),
    "one nan": lambda raw: raw[0].fill_(math.nan),
    "all nan": lambda raw: raw.fill_(math.nan),
    "infinite": lambda raw: raw[::2].fill_(math.inf),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("scale", [0.3, 1e19, 3e38])
def test_neither_bombs_in_the_data_nor_in_the_model_pass_the_clip(
    tmp_path: Path, bomb: str, scale: float
) -> None:
    """The sum before the noise stays within C a person, and what is sent is finite and noised."""
    plan = make_plan(sampling_rate=1.0)
    people = make_users({f"p{i}": 3 for i in range(6)})
    BOMBS[bomb](people._raw)
    world = World(tmp_path / "l", plan, None)
    assert float(world.sum(people, scale=scale).norm()) <= 6 * plan.clip_norm
    release = world.release(people, 2, scale)
    assert bool(torch.isfinite(release.total).all())
    assert float(release.total.std()) == pytest.approx(plan.noise_std, rel=0.15)


def test_a_release_of_another_run_is_no_answer(tmp_path: Path) -> None:
    """On the server's side: a site cannot pass one run's release off as another's."""
    sent = encode_release(World(tmp_path / "l", PLAN, None).release(crowd(3)))
    other = replace(PLAN, run_id="other")
    with pytest.raises(Refusal) as caught:
        decode_release(sent, ask(other, make_state(other, 1)), other)
    assert caught.value.code is RefusalCode.MALFORMED
