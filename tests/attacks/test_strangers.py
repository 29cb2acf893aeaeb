"""Strangers: no plan runs that the steward did not agree to, no card is believed that nobody compared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from flwr.app import RecordDict

from client.door import Door
from client.joining import welcome
from client.ledger import Ledger
from client.membership import installed
from common.errors import InputError, Refusal, RefusalCode
from common.plan import Plan
from common.wire import decode_acceptance, encode_plan, encode_query
from tests.joined import Coordinator, Site
from tests.small_site import POPULATION, ask, make_state

PACE = 1.0


@contextmanager
def joined(folder: Path) -> Iterator[tuple[Coordinator, Site, Door, Plan]]:
    """A coordinator, a site that joined it, the site's door, and a plan that names the site."""
    hub, north = Coordinator(folder), Site(folder)
    north.join(hub)
    door = north.door()
    try:
        yield hub, north, door, hub.plan(code=installed())
    finally:
        door.close()


def code_of(answer: RecordDict) -> RefusalCode | None:
    """The code of a refusal; None for any other answer."""
    try:
        decode_acceptance(answer)
    except Refusal as refusal:
        refused = str(answer.config_records["header"]["kind"]) == "Refused"
        return refusal.code if refused else None
    return None


def query(plan: Plan, round: int) -> RecordDict:
    state = make_state(plan, round)
    return encode_query(ask(plan, state), state)


def written(site: Site) -> tuple[int, int]:
    """How many plans the site's ledger has reserved, and how many rounds it has charged."""
    with Ledger.read(site.read.ledger) as ledger:
        return len(ledger.accounts.plans), sum(event.count for event in ledger.events())


def check_only_agreed_plans_run(folder: Path) -> None:
    """A plan that nobody agreed to is refused before the gate sees it: nothing is reserved."""
    with joined(folder) as (hub, north, door, plan):
        answer = door.answer(hub.says(encode_plan(plan, {}), "north"))
        assert code_of(answer) == RefusalCode.NOT_AGREED and written(north) == (0, 0)


def check_an_agreement_can_end(folder: Path) -> None:
    """Once it is taken back, the next round is refused and not charged."""
    with joined(folder) as (hub, north, door, plan):
        north.membership.keep_agreement(plan.digest())
        assert code_of(door.answer(hub.says(encode_plan(plan, {}), "north"))) is None
        assert code_of(door.answer(hub.says(query(plan, 1), "north"))) is None
        north.membership.withdraw_agreement(plan.digest())
        assert code_of(door.answer(hub.says(query(plan, 2), "north"))) == RefusalCode.NOT_AGREED
        assert written(north) == (1, 1)


def check_a_plan_fits_the_site(folder: Path) -> None:
    """Agreed to or not, a plan for other code or another population does not run."""
    with joined(folder) as (hub, north, door, plan):
        (member,) = plan.roster
        for other in (replace(plan, code="9.9.9"), replace(plan, roster=(replace(member, population=21),))):
            north.membership.keep_agreement(other.digest())
            answer = door.answer(hub.says(encode_plan(other, {}), "north"))
            assert code_of(answer) == RefusalCode.POLICY
        assert written(north) == (0, 0)


def check_seeded_noise_is_in_no_real_run(folder: Path) -> None:
    """A site whose noise can be drawn again by whoever knows its seed is in no run that promises."""
    hub, north = Coordinator(folder), Site(folder)
    north.join(hub)
    north.set(POPULATION, test_seed=7)
    plan = hub.plan(code=installed())
    test = replace(plan, run_id="test-7")
    with closing(north.read.open_door()) as door:
        for each in (plan, test):
            north.membership.keep_agreement(each.digest())
        assert code_of(door.answer(hub.says(encode_plan(plan, {}), "north"))) == RefusalCode.POLICY
        assert code_of(door.answer(hub.says(encode_plan(test, {}), "north"))) is None
    assert test.guarantee == "none" and plan.guarantee != "none" and written(north) == (1, 0)


def check_answers_keep_the_pace(folder: Path) -> None:
    """A refused question takes as long as one that computes: when an answer leaves tells of nobody."""
    hub, north = Coordinator(folder), Site(folder)
    north.join(hub)
    north.set(POPULATION, pace=PACE)
    with closing(north.read.open_door()) as door:
        question = hub.says(query(hub.plan(code=installed()), 1), "north")
        begun = time.monotonic()
        assert code_of(door.answer(question)) == RefusalCode.UNKNOWN_PLAN
        assert time.monotonic() - begun >= PACE


def check_swapped_cards_are_refused(folder: Path) -> None:
    """A card that took another's place on its way is neither pinned at the site nor in the roster."""
    hub, north = Coordinator(folder), Site(folder)
    rogue, twin = Coordinator(folder / "rogue"), Site(folder / "rogue")
    try:
        welcome(north.file, rogue.keys.card_file, hub.keys.card().fingerprint)
    except Refusal as refusal:
        assert refusal.code == RefusalCode.FOREIGN
    else:
        raise AssertionError("the site took another coordinator's card")
    try:
        _ = north.membership
    except InputError:
        pass
    else:
        raise AssertionError("the site has a coordinator")
    try:
        hub.roster.accept(twin.keys.card(), north.keys.card().fingerprint)
    except Refusal as refusal:
        assert refusal.code == RefusalCode.FOREIGN
    else:
        raise AssertionError("the roster took another site's card")
    assert hub.roster.members() == ()


def check_other_coordinators_are_refused(folder: Path) -> None:
    """Another coordinator's query, even under a plan that was agreed to and accepted, is not charged."""
    rogue = Coordinator(folder / "rogue")
    with joined(folder) as (hub, north, door, plan):
        north.membership.keep_agreement(plan.digest())
        assert code_of(door.answer(hub.says(encode_plan(plan, {}), "north"))) is None
        assert code_of(door.answer(rogue.says(query(plan, 1), "north"))) == RefusalCode.FOREIGN
        assert written(north) == (1, 0)


def check_revoked_sites_are_in_no_plan(folder: Path) -> None:
    with joined(folder) as (hub, north, _, _):
        hub.roster.revoke("north")
        assert hub.roster.members() == ()
        try:
            hub.roster.accept(north.keys.card(), north.keys.card().fingerprint)
        except Refusal as refusal:
            assert refusal.code == RefusalCode.FOREIGN
        else:
            raise AssertionError("a revoked key came back")


def test_a_plan_nobody_agreed_to_never_runs(tmp_path: Path) -> None:
    check_only_agreed_plans_run(tmp_path)


def test_an_agreement_taken_back_ends_the_run(tmp_path: Path) -> None:
    check_an_agreement_can_end(tmp_path)


def test_a_plan_for_another_site_never_runs(tmp_path: Path) -> None:
    check_a_plan_fits_the_site(tmp_path)


def test_a_site_in_test_mode_is_in_no_run_that_promises(tmp_path: Path) -> None:
    check_seeded_noise_is_in_no_real_run(tmp_path)


def test_an_answer_leaves_at_the_sites_pace(tmp_path: Path) -> None:
    check_answers_keep_the_pace(tmp_path)


def test_a_swapped_card_is_never_believed(tmp_path: Path) -> None:
    check_swapped_cards_are_refused(tmp_path)


def test_another_coordinators_query_is_never_charged(tmp_path: Path) -> None:
    check_other_coordinators_are_refused(tmp_path)


def test_a_revoked_site_is_in_no_plan(tmp_path: Path) -> None:
    check_revoked_sites_are_in_no_plan(tmp_path)
