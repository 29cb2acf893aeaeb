"""The door opens to its coordinator's seal, under plans its steward agreed to; strangers get a bare code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, RecordDict

from client.door import Door
from client.membership import AGREED
from common.card import Card
from common.errors import Refusal, RefusalCode
from common.parcel import raise_refused
from common.seal import COORDINATOR, seal, unseal
from common.signing import public_name
from common.wire import encode_plan, encode_query
from protos import gate_pb2
from tests.federation import Federation, agree, code_of, coordinators_card, key_of, roster_of, state_of
from tests.small_site import ask, crowd, make_gate, make_plan, make_state, new_ledger


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, "north", "west") as made:
        yield made


def bare(door: Door, content: RecordDict) -> RefusalCode:
    """The code of an answer that carries no seal."""
    answer = door.answer(content)
    assert set(answer) == {"header"}
    with pytest.raises(Refusal) as caught:
        raise_refused(answer)
    return caught.value.code


def query_of(federation: Federation, round: int = 1) -> RecordDict:
    state = state_of(federation.plan, round)
    return encode_query(federation.query(state), state)


def test_a_member_accepts_and_releases_under_seal(federation: Federation) -> None:
    assert [found.site for found in federation.enrol()] == ["north", "west"]
    release = federation.release("north", state_of(federation.plan, 1))
    assert release.seen is not None
    assert release.seen.signed_by(
        public_name(key_of("north")), federation.query(state_of(federation.plan, 1))
    )


def test_strangers_get_a_bare_code_and_no_signature(federation: Federation) -> None:
    federation.enrol()
    door, content = federation.sites["north"].door, query_of(federation)
    for_west, _ = federation.sealed("west", content)
    answer = door.answer(federation.sealed("north", content)[0])
    strangers = [
        content,
        seal(content, key_of("stranger"), COORDINATOR, "north")[0],
        seal(content, federation.key, "north", COORDINATOR)[0],
        for_west,
        answer,  # reflected
        seal(content, federation.key, COORDINATOR, "north", "0" * 64)[0],
    ]
    assert {bare(door, sent) for sent in strangers} == {RefusalCode.FOREIGN}
    assert bare(door, RecordDict({**for_west, "seal": ConfigRecord({"body": b"x"})})) == "MALFORMED"
    assert federation.sites["north"].ledger.events() == [federation.plan.event()]


def test_a_refusal_under_seal_names_the_question(federation: Federation) -> None:
    question, asked = federation.sealed("north", query_of(federation))
    answer = federation.opened("north", federation.sites["north"].door.answer(question), asked)
    with pytest.raises(Refusal) as caught:
        raise_refused(answer)
    assert caught.value.code is RefusalCode.UNKNOWN_PLAN
    with pytest.raises(Refusal):
        unseal(answer, public_name(key_of("north")), "north", COORDINATOR, "0" * 64)


def test_a_plan_that_nobody_here_agreed_to_waits(federation: Federation) -> None:
    north = federation.sites["north"]
    later = replace(federation.plan, run_id="later")
    assert code_of(federation, "north", encode_plan(later, {})) == "NOT_AGREED"
    forged = federation.sites["west"].membership.agree(later.digest())
    path = north.folder / AGREED / f"{later.digest()}.json"
    for text in ("", "[]", "{}", str(forged).replace("'", '"')):
        path.write_text(text)
        assert code_of(federation, "north", encode_plan(later, {})) == "NOT_AGREED"
    assert not north.ledger.accounts.plans
    agree(north.membership, later)
    assert code_of(federation, "north", encode_plan(later, {})) == "Accepted"


def test_an_agreement_that_is_taken_back_ends_the_answers(federation: Federation) -> None:
    federation.enrol()
    north = federation.sites["north"]
    federation.release("north", state_of(federation.plan, 1))
    (north.folder / AGREED / f"{federation.plan.digest()}.json").unlink()
    assert code_of(federation, "north", query_of(federation)) == "NOT_AGREED"
    assert north.ledger.events() == [federation.plan.event()]


def test_plans_of_others_and_without_this_site_are_foreign(federation: Federation) -> None:
    north, plan = federation.sites["north"], federation.plan
    others = [
        replace(plan, coordinator_key=public_name(key_of("other"))),
        replace(plan, roster=roster_of("west"), min_sites=1),
        replace(plan, roster=(replace(plan.roster[0], key=public_name(key_of("thief"))), plan.roster[1])),
        replace(plan, roster=(), min_sites=1),
    ]
    for other in others:
        agree(north.membership, other)
        assert code_of(federation, "north", encode_plan(other, {})) == "FOREIGN"
    assert not north.ledger.accounts.plans


def with_card(federation: Federation, card: Card) -> None:
    north = federation.sites["north"]
    north.membership = replace(north.membership, coordinator=card)
    north.door = Door(north.gate, north.membership)


def test_an_expired_coordinator_and_an_expired_key_are_told_so(federation: Federation) -> None:
    north, plan = federation.sites["north"], federation.plan
    late = replace(plan, roster=(replace(plan.roster[0], valid_until=1), plan.roster[1]))
    agree(north.membership, late)
    assert code_of(federation, "north", encode_plan(late, {})) == "EXPIRED"
    with_card(federation, coordinators_card(federation.key, valid_until=1))
    assert code_of(federation, "north", encode_plan(plan, {})) == "EXPIRED"


def test_a_site_that_joined_nobody_takes_no_part_in_a_federation(tmp_path: Path) -> None:
    plan = make_plan(roster=roster_of("north"), coordinator_key=public_name(key_of("server")))
    with new_ledger(tmp_path / "ledger") as ledger:
        door = Door(make_gate(ledger, crowd(3)))
        assert bare(door, encode_plan(plan, {})) is RefusalCode.FOREIGN
        assert not ledger.accounts.plans


def test_what_others_wrote_cannot_look_like_a_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan()
    content = encode_plan(plan, {})
    header = gate_pb2.Plan.FromString(content.config_records["header"]["body"])  # type: ignore[arg-type]
    header.run_id = "x\n2026-01-01 INFO all is well\x1b[2J"
    content["header"] = ConfigRecord({"kind": "Plan", "body": header.SerializeToString()})
    state = make_state(plan, 1)
    other: Any = encode_query(ask(plan, state, run_id="x\ny"), state)
    with new_ledger(tmp_path / "ledger") as ledger, caplog.at_level(logging.WARNING):
        door = Door(make_gate(ledger, crowd(3)))
        assert {bare(door, content), bare(door, other)} == {RefusalCode.MALFORMED}
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert record.getMessage().isprintable() and len(record.getMessage()) < 1100
