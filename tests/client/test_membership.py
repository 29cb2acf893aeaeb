"""A member of a federation answers its coordinator alone, under plans that its steward agreed to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import RecordDict

from client.door import Door
from client.ledger import Ledger
from client.membership import Membership, installed
from common.card import Card
from common.errors import InputError, Refusal, RefusalCode
from common.plan import Plan
from common.query import Release
from common.roster import Member
from common.signing import load_key
from common.wire import decode_acceptance, decode_release, encode_plan, encode_query
from tests.joined import Coordinator, Site, past
from tests.small_site import ask, make_gate, make_state


@pytest.fixture
def hub(tmp_path: Path) -> Coordinator:
    return Coordinator(tmp_path)


@pytest.fixture
def north(tmp_path: Path, hub: Coordinator) -> Site:
    site = Site(tmp_path)
    site.join(hub)
    return site


@pytest.fixture
def plan(hub: Coordinator, north: Site) -> Plan:
    return hub.plan(code=installed())


@pytest.fixture
def door(north: Site) -> Iterator[Door]:
    opened = north.door()
    yield opened
    opened.close()


Refused = Callable[[RecordDict], RefusalCode]


@pytest.fixture
def refused(hub: Coordinator, door: Door) -> Refused:
    """The code with which the site refuses what its coordinator says."""

    def answer(content: RecordDict) -> RefusalCode:
        with pytest.raises(Refusal) as error:
            decode_acceptance(door.answer(hub.says(content, "north")))
        return error.value.code

    return answer


def reserved(site: Site) -> list[str]:
    with Ledger.read(site.read.ledger) as ledger:
        return list(ledger.accounts.plans)


def query(plan: Plan, round: int) -> RecordDict:
    state = make_state(plan, round)
    return encode_query(ask(plan, state), state)


def released(hub: Coordinator, door: Door, plan: Plan, round: int) -> Release:
    """The answer to a round under the coordinator's seal, or its Refusal raised."""
    answer = door.answer(hub.says(query(plan, round), "north"))
    return decode_release(answer, ask(plan, make_state(plan, round)), plan)


def test_nothing_runs_before_the_steward_agreed(
    plan: Plan, north: Site, hub: Coordinator, door: Door, refused: Refused
) -> None:
    assert refused(encode_plan(plan, {})) == RefusalCode.NOT_AGREED
    assert reserved(north) == []
    north.membership.keep_agreement(plan.digest())
    accepted = decode_acceptance(door.answer(hub.says(encode_plan(plan, {}), "north")))
    assert accepted.plan_digest == plan.digest() and reserved(north) == [plan.digest()]
    assert released(hub, door, plan, 1).round == 1


def test_agreement_to_one_plan_is_to_no_other(
    plan: Plan, north: Site, hub: Coordinator, refused: Refused
) -> None:
    """Neither a plan that differs in one number, nor a file renamed, nor one that another key signed."""
    path = north.membership.keep_agreement(plan.digest())
    other = hub.plan(code=installed(), noise_multiplier=1.0)
    assert refused(encode_plan(other, {})) == RefusalCode.NOT_AGREED
    copy = path.with_name(f"{other.digest()}.json")
    copy.write_bytes(path.read_bytes())
    assert refused(encode_plan(other, {})) == RefusalCode.NOT_AGREED
    copy.write_text(json.dumps({**json.loads(path.read_text()), "plan": other.digest()}))
    assert refused(encode_plan(other, {})) == RefusalCode.NOT_AGREED
    stranger = replace(north.membership, key=hub.key)
    stranger.keep_agreement(other.digest())
    assert refused(encode_plan(other, {})) == RefusalCode.NOT_AGREED


def charges(site: Site) -> int:
    with Ledger.read(site.read.ledger) as ledger:
        return sum(event.count for event in ledger.events())


def test_an_agreement_taken_back_ends_the_plan_at_the_next_message(
    plan: Plan, north: Site, hub: Coordinator, door: Door, refused: Refused
) -> None:
    north.membership.keep_agreement(plan.digest())
    door.answer(hub.says(encode_plan(plan, {}), "north"))
    released(hub, door, plan, 1)
    assert charges(north) == 1 and north.membership.withdraw_agreement(plan.digest())
    assert not north.membership.withdraw_agreement(plan.digest())
    assert refused(query(plan, 2)) == RefusalCode.NOT_AGREED
    assert charges(north) == 1


def test_a_rotated_key_ends_running_plans(
    plan: Plan, north: Site, hub: Coordinator, door: Door, refused: Refused
) -> None:
    """In the gate that runs on with the old key as well as in one that is started anew."""
    north.membership.keep_agreement(plan.digest())
    door.answer(hub.says(encode_plan(plan, {}), "north"))
    north.keys.rotate()
    assert refused(query(plan, 1)) == RefusalCode.NOT_AGREED
    with pytest.raises(Refusal, match="lacks this site or its key"):
        north.membership.require_agreed(plan)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"roster": (), "min_sites": 1}, RefusalCode.FOREIGN),
        ({"coordinator_key": "ab" * 32}, RefusalCode.FOREIGN),
        ({"code": "0.0.1"}, RefusalCode.POLICY),
        ({"trust": "central"}, RefusalCode.POLICY),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_though_agreed_to(
    changes: dict[str, Any], code: RefusalCode, plan: Plan, north: Site, refused: Refused
) -> None:
    plan = replace(plan, **changes)
    north.membership.keep_agreement(plan.digest())
    assert refused(encode_plan(plan, {})) == code
    assert reserved(north) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"population": 21}, RefusalCode.POLICY),
        ({"key": "cd" * 32}, RefusalCode.FOREIGN),
        ({"site": "south"}, RefusalCode.FOREIGN),
        ({"valid_until": past(1)}, RefusalCode.EXPIRED),
    ],
)
def test_a_roster_that_says_otherwise_of_this_site_is_refused(
    changes: dict[str, Any], code: RefusalCode, plan: Plan, north: Site, refused: Refused
) -> None:
    (member,) = plan.roster
    plan = replace(plan, roster=(replace(member, **changes),))
    north.membership.keep_agreement(plan.digest())
    assert refused(encode_plan(plan, {})) == code


def test_another_coordinators_word_is_refused(plan: Plan, north: Site, tmp_path: Path, door: Door) -> None:
    """Its plan and its query, the latter even of a plan that the site agreed to and accepted."""
    rogue, hub = Coordinator(tmp_path / "rogue"), Coordinator(tmp_path)
    north.membership.keep_agreement(plan.digest())
    decode_acceptance(door.answer(hub.says(encode_plan(plan, {}), "north")))
    for content in (encode_plan(plan, {}), query(plan, 1)):
        with pytest.raises(Refusal) as error:
            decode_acceptance(door.answer(rogue.says(content, "north")))
        assert error.value.code == RefusalCode.FOREIGN
    assert charges(north) == 0


def expired(card: Card, hub: Coordinator) -> Card:
    return replace(card, signature="", issued=past(9), valid_until=past(1)).sign(hub.key)


def test_an_expired_coordinator_is_refused_until_its_new_card_came(
    plan: Plan, north: Site, hub: Coordinator, door: Door
) -> None:
    north.membership.keep_agreement(plan.digest())
    decode_acceptance(door.answer(hub.says(encode_plan(plan, {}), "north")))
    door.close()
    old = replace(north.membership, coordinator=expired(north.membership.coordinator, hub))
    gate = make_gate(Ledger.open(north.read.ledger), lambda: pytest.fail("people were read"))
    late = Door(gate, old)
    with pytest.raises(Refusal) as error:
        released(hub, late, plan, 1)
    late.close()
    assert error.value.code == RefusalCode.EXPIRED


def test_a_declared_population_that_changed_ends_the_plan(
    plan: Plan, north: Site, hub: Coordinator, door: Door
) -> None:
    north.membership.keep_agreement(plan.digest())
    decode_acceptance(door.answer(hub.says(encode_plan(plan, {}), "north")))
    door.close()
    north.set(people=21)
    again = north.door()
    with pytest.raises(Refusal) as error:
        released(hub, again, plan, 1)
    again.close()
    assert error.value.code == RefusalCode.POLICY and charges(north) == 0


def test_a_site_that_has_not_joined_says_what_is_missing(tmp_path: Path, hub: Coordinator) -> None:
    site = Site(tmp_path, "west")
    with pytest.raises(InputError, match=r"coordinator\.json is missing: this site has not joined"):
        site.read.open_door()
    (site.keys.identity).unlink()
    with pytest.raises(InputError, match=r"site\.pem is missing: .*fedmotion keys init"):
        site.read.open_door()
    alone = site.read.model_copy(update={"federation": None})
    with pytest.raises(InputError, match=r"add a table \[federation\]"):
        alone.membership()


def test_who_the_members_key_is_told_by_the_roster_alone(plan: Plan, north: Site) -> None:
    """A second member under the site's own key would let it speak twice: no plan can have one."""
    (member,) = plan.roster
    twin = Member(site="twin", key=member.key, population=3)
    with pytest.raises(InputError, match="no name or key twice"):
        replace(plan, roster=(member, twin))
    assert isinstance(north.membership, Membership)
    assert north.membership.key.public_key() == load_key(north.keys.identity).public_key()
