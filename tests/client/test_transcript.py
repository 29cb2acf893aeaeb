"""One state a round for all sites: what others signed, what the ledger remembers, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.accounts import Accounts
from client.chain import Entry
from client.ledger import Ledger
from client.statement import check, export, statement
from client.transcript import require_one_view
from common.errors import Refusal, RefusalCode
from common.event import NEIGHBOURING
from common.query import Query, Seen, sha256_of
from tests.federation import Federation, key_of, roster_of, state_of
from tests.small_site import ask, make_plan, make_state

NAMES = ("east", "north", "west")


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, *NAMES) as made:
        made.enrol()
        yield made


def refused(federation: Federation, name: str, *arguments: Any, **changes: Any) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        federation.release(name, *arguments, **changes)
    return caught.value.code


def states(federation: Federation) -> tuple[Any, Any]:
    return state_of(federation.plan, 1), state_of(federation.plan, 2)


def test_an_honest_run_goes_on_and_every_release_says_what_it_was_made_of(federation: Federation) -> None:
    seen: list[Seen] = []
    for round in (1, 2, 3):
        state = state_of(federation.plan, round)
        seen = federation.round(state, seen)
        query = federation.query(state)
        assert [word.site for word in seen] == list(NAMES)
        assert all(word.signed_by(m.key, query) for word, m in zip(seen, federation.plan.roster, strict=True))


def test_another_model_for_some_is_found_by_all_at_the_next_round(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = states(federation)
    other = state_of(federation.plan, 1, scale=0.9)
    seen = federation.round(one, sites=("east", "north")) + federation.round(other, sites=("west",))
    for name in NAMES:
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            assert refused(federation, name, two, seen) is RefusalCode.SPLIT_VIEW
        assert one.digest() in caplog.text and other.digest() in caplog.text
    assert refused(federation, "west", two, seen[:2]) is RefusalCode.SPLIT_VIEW  # its own word held back
    for site in federation.sites.values():
        assert site.ledger.events() == [federation.plan.spent(1)]


def test_a_transcript_of_too_few_is_no_transcript(federation: Federation) -> None:
    one, two = states(federation)
    seen = federation.round(one)
    for told in ([], seen[:1], [seen[0], seen[0]]):
        assert refused(federation, "east", two, told) is RefusalCode.SPLIT_VIEW
    assert federation.release("east", two, seen[:2]).round == 2


def test_words_of_strangers_other_rounds_runs_and_plans_are_no_words(federation: Federation) -> None:
    one, two = states(federation)
    seen = federation.round(one)
    query = federation.query(one)
    false = [
        Seen.sign(key_of("south"), "south", query),  # of no member
        Seen.sign(key_of("south"), "west", query),  # with another key
        replace(seen[0], site="west"),  # one site's as another's
        Seen.sign(key_of("west"), "west", replace(query, round=2)),
        Seen.sign(key_of("west"), "west", replace(query, run_id="other")),
        Seen.sign(key_of("west"), "west", replace(query, plan_digest="0" * 64)),
    ]
    for word in false:
        assert refused(federation, "east", two, [*seen[:2], word]) is RefusalCode.SPLIT_VIEW


def test_a_site_that_missed_a_round_comes_back(federation: Federation) -> None:
    one, two = states(federation)
    seen = federation.round(one, sites=("east", "north"))
    assert federation.release("west", two, seen).round == 2


def test_a_site_whose_answer_came_too_late_goes_on(federation: Federation) -> None:
    """Its word is missing from the transcript; what the others saw is what its ledger says."""
    one, two = states(federation)
    seen = federation.round(one)
    assert federation.release("west", two, seen[:2]).round == 2


def test_a_round_is_asked_of_one_model_only_however_often(federation: Federation) -> None:
    one, _ = states(federation)
    first = federation.release("east", one)
    again = federation.release("east", one)  # a void round, or a server that was restarted
    assert bytes(again.total.numpy().data) == bytes(first.total.numpy().data) and again.seen == first.seen
    other = state_of(federation.plan, 1, scale=0.9)
    assert refused(federation, "east", other) is RefusalCode.SPLIT_VIEW


def test_a_new_attempt_at_a_round_has_the_same_model(federation: Federation) -> None:
    """As under secure aggregation: the question differs by its cohort, the state may not."""
    plan, ledger = federation.plan, federation.sites["east"].ledger
    one, other = make_state(plan, 1), make_state(plan, 1, scale=0.9)

    def charge(query: Query) -> int:
        return ledger.charge(query, query.digest(plan.trust), plan.event()).id

    assert [charge(ask(plan, one, cohort=digit * 64)) for digit in "abb"] == [1, 2, 2]
    for query, code in (
        (ask(plan, other, cohort="c" * 64), RefusalCode.SPLIT_VIEW),
        (ask(plan, one, cohort="a" * 64), RefusalCode.STALE),
    ):
        with pytest.raises(Refusal) as caught:
            charge(query)
        assert caught.value.code is code


def test_what_was_seen_is_remembered_over_a_restart(federation: Federation) -> None:
    one, two = states(federation)
    other = state_of(federation.plan, 1, scale=0.9)
    federation.release("west", other)
    seen = federation.round(one, sites=("east", "north"))
    site = federation.sites["west"]
    site.close()
    site.open()
    assert refused(federation, "west", one) is RefusalCode.SPLIT_VIEW
    assert refused(federation, "west", two, seen) is RefusalCode.SPLIT_VIEW


def test_an_expired_members_word_may_disagree_but_does_not_count(tmp_path: Path) -> None:
    plan = make_plan(roster=roster_of(*NAMES), min_sites=2)
    late = replace(plan, roster=(replace(plan.roster[0], valid_until=1), *plan.roster[1:]))
    one, two = make_state(late, 1), make_state(late, 2)
    words = [Seen.sign(key_of(name), name, ask(late, one)) for name in NAMES]
    require_one_view(ask(late, two, seen=tuple(words)), late, "north", {})
    with pytest.raises(Refusal, match="1 sites vouch"):
        require_one_view(ask(late, two, seen=tuple(words[:2])), late, "north", {})
    other = Seen.sign(key_of("east"), "east", ask(late, make_state(late, 1, scale=0.9)))
    with pytest.raises(Refusal, match="answered with"):
        require_one_view(ask(late, two, seen=(other, *words[1:])), late, "north", {})


def test_without_a_roster_there_is_nothing_to_compare() -> None:
    plan = make_plan()
    require_one_view(ask(plan, make_state(plan, 2)), plan, "north", {1: "a" * 64, 2: "b" * 64})


def test_the_ledger_shows_exports_and_checks_what_was_answered(
    federation: Federation, tmp_path: Path
) -> None:
    one, _ = states(federation)
    federation.round(one)
    site = federation.sites["east"]
    site.close()
    with Ledger.read(site.folder / "ledger") as ledger:
        (run,) = statement(ledger)["runs"]
        (tmp_path / "export").write_text(export(ledger))
    assert run["latest"] == {"round": 1, "state": one.digest()}
    accounts, _, _ = check(tmp_path / "export")
    assert accounts.plans[federation.plan.digest()].states == {1: one.digest()}


def body(kind: str, **facts: Any) -> str:
    return json.dumps({"kind": kind, "at": "then", **facts})


def test_an_older_ledger_stays_readable() -> None:
    """As versions before federations wrote it: plans of fewer fields, charges that name no state."""
    terms = json.loads(make_plan().to_json())
    for name in ("roster", "min_sites", "colluders", "scale", "modulus_bits", "code"):
        del terms[name]
    digest, event = sha256_of(terms), vars(make_plan().event())
    accounts = Accounts()
    bodies = [
        body("created", site="north", unit="user", neighbouring=NEIGHBOURING, epsilon=1e9, delta=0.5, key=""),
        body("reserved", plan=digest, terms=json.dumps(terms), epsilon=1.0, delta=1e-5, arrays=""),
        body("charged", plan=digest, number=1, round=1, digest="d", **event),
    ]
    for number, text in enumerate(bodies, 1):
        accounts.apply(Entry(number, text, b"", b"%d" % number))
    assert accounts.plans[digest].states == {}
    assert accounts.events() == [make_plan().event()]
