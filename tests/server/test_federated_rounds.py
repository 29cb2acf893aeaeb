"""Rounds of sites with identities: nothing unsealed is believed, too few make no round, every run goes on."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict

from client.ledger import Ledger
from common.errors import InputError, RefusalCode
from common.noise import Source
from common.parcel import encode_refusal
from common.query import Release, Seen
from common.seal import COORDINATOR, read_seal, seal
from common.signing import create_key, load_key
from common.wire import decode_query, decode_release, encode_release
from server.aggregate import Sum
from server.checkpoint import Checkpoint
from server.status import PAUSE
from server.transcript import TRANSCRIPT
from tests.server.nodes import ROUNDS, Nodes, hub_in, resealed, rows, run, settle

EAST, NORTH, WEST = "site-01", "site-02", "site-03"
EXHAUSTED = encode_refusal(RefusalCode.BUDGET_EXHAUSTED)


def counts(folder: Path) -> list[int]:
    return [row["sites"] for row in rows(folder)]


def charges(folder: Path) -> list[int]:
    """How often each site was charged, in the order of names."""
    digest, found = Checkpoint.load(folder).plan.digest(), []
    for path in sorted((folder / "ledgers").glob("*.sqlite")):
        with Ledger.read(path) as ledger:
            found.append(len(ledger.accounts.plan(digest).paid))
    return found


def check_a_forged_refusal_removes_nobody(empty: Path) -> Path:
    """Somebody on the way says that a site has no budget: without a seal, or with another."""
    folder = hub_in(empty)
    stranger = create_key(folder / "stranger.pem")

    def forge(site: str, step: str, answer: RecordDict) -> RecordDict:
        if site == EAST and step == "round 1":
            return EXHAUSTED
        if site == NORTH and step == "round 2":
            forged = resealed(folder, site, answer, EXHAUSTED)
            forged["seal"] = resealed_by(stranger, site, answer)["seal"]
            return forged
        return answer

    outcome = run(folder, Nodes(folder, forge))
    assert counts(folder) == [2, 2, 3] and outcome["stopped"] is None
    assert outcome["refusals"] == {"FOREIGN": 1, "UNAVAILABLE": 1}
    return folder


def resealed_by(key: Ed25519PrivateKey, site: str, answer: RecordDict) -> RecordDict:
    return seal(EXHAUSTED, key, site, COORDINATOR, read_seal(answer).answers)[0]


def test_a_forged_refusal_removes_nobody(tmp_path: Path) -> None:
    check_a_forged_refusal_removes_nobody(tmp_path)


def test_a_refusal_in_the_sites_own_seal_is_heard(hub: Path) -> None:
    def exhaust(site: str, step: str, answer: RecordDict) -> RecordDict:
        return resealed(hub, site, answer, EXHAUSTED) if (site, step) == (EAST, "round 1") else answer

    outcome = run(hub, Nodes(hub, exhaust))
    assert counts(hub) == [2, 2, 2] and outcome["accepted"] == [NORTH, WEST]


def check_an_older_release_is_no_answer(empty: Path) -> None:
    hub = hub_in(empty)
    older: list[RecordDict] = []

    def replay(site: str, step: str, answer: RecordDict) -> RecordDict:
        if (site, step) == (EAST, "round 1"):
            older.append(answer)
        return older[0] if (site, step) == (EAST, "round 2") else answer

    outcome = run(hub, Nodes(hub, replay))
    assert counts(hub) == [3, 2, 3] and outcome["refusals"] == {"FOREIGN": 1}


def test_a_release_of_an_older_question_is_no_answer(tmp_path: Path) -> None:
    check_an_older_release_is_no_answer(tmp_path)


def test_too_few_releases_make_no_round_and_are_asked_again_at_no_charge(hub: Path) -> None:
    lost: list[str] = []

    def lose(site: str, step: str, answer: RecordDict) -> RecordDict | None:
        if step == "round 2" and site != EAST and len(lost) < 2:
            lost.append(site)
            return None
        return answer

    outcome = run(hub, Nodes(hub, lose))
    assert lost == [NORTH, WEST] and outcome["stopped"] is None
    assert counts(hub) == [3, 3, 3] and charges(hub) == [ROUNDS] * 3


def check_too_few_make_no_round(empty: Path) -> Path:
    folder = hub_in(empty)

    def lose(site: str, step: str, answer: RecordDict) -> RecordDict | None:
        return None if step == "round 2" and site != EAST else answer

    outcome = run(folder, Nodes(folder, lose))
    assert (outcome["rounds"], outcome["stopped"]) == (1, "round 2 had 1 releases, and the plan asks for 2")
    assert Checkpoint.load(folder).state.round == 1 == len(rows(folder))
    return folder


def test_too_few_releases_in_every_try_stop_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    hub = check_too_few_make_no_round(tmp_path)
    outcome = run(hub, Nodes(hub))
    assert (outcome["rounds"], outcome["stopped"]) == (ROUNDS, None)
    assert counts(hub) == [3, 3, 3] and charges(hub) == [ROUNDS] * 3


def test_the_mean_divides_by_the_populations_of_those_in_the_sum(hub: Path) -> None:
    """The same sum of two sites, whoever is missing: each round's mean is over constants of the roster."""
    plan = Checkpoint.load(hub).plan
    total = Sum(plan.dimension)
    for member in plan.roster[:2]:
        release = replace(_release(hub), site=member.site, total=torch.ones(plan.dimension))
        total.add(release, member.population)
    people = sum(member.population for member in plan.roster[:2])
    expected = torch.full((plan.dimension,), 2 / (plan.sampling_rate * people))
    assert torch.allclose(total.mean(plan, Source(), 1), expected)
    with pytest.raises(ValueError, match="in the sum already"):
        total.add(release, 1)


def _release(folder: Path) -> Release:
    plan = Checkpoint.load(folder).plan
    return Release(
        site=EAST, run_id=plan.run_id, round=1, query_digest="", charge=1, total=torch.zeros(plan.dimension)
    )


def test_every_question_shows_what_the_sites_said_of_the_round_before(hub: Path) -> None:
    settle(hub, tries=1)

    def lose(site: str, step: str, answer: RecordDict) -> RecordDict | None:
        return None if step == "round 3" else answer

    nodes = Nodes(hub, lose)
    run(hub, nodes)
    again = Nodes(hub)
    run(hub, again)
    told = rows(hub, TRANSCRIPT)
    assert [row["round"] for row in told] == [1, 2, 3]
    members = {member.site: member for member in Checkpoint.load(hub).plan.roster}
    for nodes_, step, before in ((nodes, "round 2", 0), (again, "round 3", 1)):
        queries = [decode_query(content)[0] for _, group, content in nodes_.questions if group == step]
        assert len(queries) == 3 and all(len(query.seen) == 3 for query in queries)
        expected = tuple(Seen(**word) for word in told[before]["seen"])
        assert all(query.seen == expected for query in queries)
        earlier = replace(queries[0], round=before + 1)
        assert all(word.signed_by(members[word.site].key, earlier) for word in expected)


def check_a_release_of_another_state_is_refused(empty: Path) -> Path:
    """Its site says, in its own signature, that it computed on another model."""
    folder, digest = hub_in(empty), "ab" * 32
    nodes = Nodes(folder)

    def swap(site: str, step: str, answer: RecordDict) -> RecordDict:
        if (site, step) != (EAST, "round 1"):
            return answer
        query, _ = decode_query(nodes.questions[-1][2])
        release = decode_release(answer, query, Checkpoint.load(folder).plan)
        key = load_key(folder / "sites" / f"{EAST}.federation" / "keys" / "site.pem")
        other = Seen.sign(key, EAST, replace(query, state_digest=digest))
        return resealed(folder, site, answer, encode_release(replace(release, seen=other)))

    nodes.touch = swap
    outcome = run(folder, nodes)
    assert counts(folder) == [2, 3, 3] and outcome["refusals"] == {"SPLIT_VIEW": 1}
    return folder


def test_a_release_of_another_state_is_refused(tmp_path: Path) -> None:
    check_a_release_of_another_state_is_refused(tmp_path)


def test_a_release_that_says_nothing_of_its_state_is_refused(hub: Path) -> None:
    nodes = Nodes(hub)

    def silence(site: str, step: str, answer: RecordDict) -> RecordDict:
        if (site, step) != (EAST, "round 1"):
            return answer
        query, _ = decode_query(nodes.questions[-1][2])
        release = decode_release(answer, query, Checkpoint.load(hub).plan)
        return resealed(hub, site, answer, encode_release(replace(release, seen=None)))

    nodes.touch = silence
    assert run(hub, nodes)["refusals"] == {"MALFORMED": 1}


def test_a_damaged_transcript_is_found_before_a_round_is_asked_for(hub: Path) -> None:
    settle(hub, tries=1)
    run(hub, Nodes(hub, lambda site, step, answer: None if step == "round 3" else answer))
    (hub / TRANSCRIPT).write_text("{}\n{}\n")
    with pytest.raises(InputError, match=r"transcript\.jsonl is damaged: restore the run folder"):
        run(hub, Nodes(hub))


def test_a_run_pauses_between_rounds_and_goes_on(hub: Path) -> None:
    """As `fedmotion server pause|resume` do it: with a file in the run folder."""
    nodes = Nodes(hub)
    nodes.at["round 1"] = (hub / PAUSE).touch
    thread = threading.Thread(target=run, args=(hub, nodes))
    thread.start()
    wait_for_state(hub, "paused")
    assert json.loads((hub / "status.json").read_text())["round"] == 1 == len(rows(hub))
    (hub / PAUSE).unlink()
    thread.join(60)
    outcome = json.loads((hub / "outcome.json").read_text())
    assert (outcome["rounds"], outcome["stopped"], len(rows(hub))) == (ROUNDS, None, ROUNDS)
    assert json.loads((hub / "status.json").read_text())["state"] == "finished"


def wait_for_state(folder: Path, state: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = folder / "status.json"
        if path.exists() and json.loads(path.read_text())["state"] == state:
            return
        time.sleep(0.05)
    raise AssertionError(f"the run was never {state}")


def test_the_status_says_public_facts_alone(hub: Path) -> None:
    settle(hub, tries=1)
    run(hub, Nodes(hub, lambda site, step, answer: None if step == "round 3" else answer))
    status = json.loads((hub / "status.json").read_text())
    assert status.pop("last_round") <= time.time()
    plan = Checkpoint.load(hub).plan
    assert status == {
        "state": "stopped", "why": "no site answered round 3", "run_id": plan.run_id, "trust": "local",
        "round": 2, "rounds": 3, "min_sites": 2, "roster": [EAST, NORTH, WEST],
        "enrolled": [EAST, NORTH, WEST], "answered": [EAST, NORTH, WEST], "deadline": None,
        "epsilon_spent": rows(hub)[-1]["epsilon"], "delta": plan.delta,
    }  # fmt: skip
