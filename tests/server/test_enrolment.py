"""Which node is which site is decided by seals: late sites join, returning ones are known, liars are not."""

from __future__ import annotations

from pathlib import Path

from flwr.app import RecordDict

from common.card import Card
from common.errors import RefusalCode
from common.parcel import encode_hello, encode_refusal
from common.query import Acceptance
from common.signing import load_key, public_name
from common.storage import write_json
from common.wire import encode_acceptance
from server.checkpoint import Checkpoint
from server.revocation import revoke
from server.superlink import NODES
from tests.server.nodes import ROUNDS, Nodes, resealed, rows, run, settle

EAST, NORTH = "site-01", "site-02"


def counts(folder: Path) -> list[int]:
    return [row["sites"] for row in rows(folder)]


def test_a_site_that_comes_late_takes_part_from_the_next_round_on(hub: Path) -> None:
    nodes = Nodes(hub)
    nodes.away = {nodes.node(EAST)}
    nodes.at["round 1"] = nodes.away.clear
    outcome = run(hub, nodes)
    assert (outcome["stopped"], outcome["rounds"]) == (None, ROUNDS)
    assert counts(hub) == [2, 3, 3] and len(outcome["accepted"]) == 3


def test_a_site_that_comes_back_as_another_node_is_known_by_its_seal(hub: Path) -> None:
    nodes = Nodes(hub)

    def renumber(site: str, step: str, answer: RecordDict) -> RecordDict:
        if (site, step) == (nodes.names[-1], "round 1"):
            nodes.renumber(EAST, 77)
        return answer

    nodes.touch = renumber
    assert run(hub, nodes)["stopped"] is None
    assert counts(hub) == [3, 3, 3]


def test_a_run_with_too_few_sites_waits_and_says_so(hub: Path) -> None:
    nodes = Nodes(hub)
    nodes.away = {nodes.node(EAST), nodes.node(NORTH)}
    outcome = run(hub, nodes)
    assert (outcome["rounds"], outcome["stopped"]) == (0, "1 of at least 2 sites are there after 1 s")
    nodes.away.clear()
    assert run(hub, nodes)["rounds"] == ROUNDS


def test_a_node_in_anothers_name_is_put_to_the_test_and_fails_it(hub: Path) -> None:
    """It gets a plan that is public, its answer is not the site's, and the site itself takes part."""
    nodes = Nodes(hub)

    def lie(site: str, step: str, answer: RecordDict) -> RecordDict:
        return encode_hello(NORTH) if (site, step) == (EAST, "hello") else answer

    nodes.touch = lie
    outcome = run(hub, nodes)
    assert outcome["accepted"] == [NORTH, nodes.names[2]] and counts(hub) == [2] * ROUNDS
    assert set(outcome["refusals"]) == {"UNAVAILABLE"}  # its door signs nothing that is not for it


def admit(hub: Path, sites: dict[str, int]) -> None:
    """As the conductor of a server writes down whom it let in under which key."""
    (hub / "run").mkdir()
    told = {site: ("the node's key", str(node)) for site, node in sites.items()}
    write_json(hub / "run" / NODES, {"nodes": told})


def test_nodes_that_were_let_in_under_their_keys_are_not_asked_for_their_names(hub: Path) -> None:
    """A silent node that would claim another's name takes nobody's place."""
    nodes = Nodes(hub)
    third = nodes.names[2]
    admit(hub, {EAST: nodes.node(EAST), NORTH: nodes.node(NORTH)})

    def claim(site: str, step: str, answer: RecordDict) -> RecordDict | None:
        return None if site == third else answer

    nodes.touch = claim
    outcome = run(hub, nodes)
    assert outcome["accepted"] == [EAST, NORTH] and counts(hub) == [2] * ROUNDS
    assert {step for _, step, _ in nodes.questions} == {"plan", *(f"round {n + 1}" for n in range(ROUNDS))}
    assert third not in {site for site, _, _ in nodes.questions}


def test_a_node_let_in_for_one_site_is_no_other(hub: Path) -> None:
    nodes = Nodes(hub)
    wrong = {EAST: nodes.node(NORTH), NORTH: nodes.node(EAST), nodes.names[2]: nodes.node(nodes.names[2])}
    admit(hub, wrong)
    outcome = run(hub, nodes)
    assert outcome["accepted"] == [nodes.names[2]] and outcome["rounds"] == 0


def test_a_site_of_another_population_than_its_card_says_is_not_enrolled(hub: Path) -> None:
    digest = Checkpoint.load(hub).plan.digest()

    def grow(site: str, step: str, answer: RecordDict) -> RecordDict:
        if (site, step) != (EAST, "plan"):
            return answer
        larger = Acceptance(site=site, plan_digest=digest, declared_population=10**6)
        return resealed(hub, site, answer, encode_acceptance(larger))

    outcome = run(hub, Nodes(hub, grow))
    assert outcome["refusals"]["MALFORMED"] == 1 and EAST not in outcome["accepted"]


def test_too_many_who_decline_end_the_run_at_once(hub: Path) -> None:
    def decline(site: str, step: str, answer: RecordDict) -> RecordDict:
        if step != "plan" or site not in (EAST, NORTH):
            return answer
        return resealed(hub, site, answer, encode_refusal(RefusalCode.POLICY))

    settle(hub, patience=3600.0)
    outcome = run(hub, Nodes(hub, decline))
    said = "1 of at least 2 sites are there; site-01 declined with POLICY, site-02 declined with POLICY"
    assert outcome["stopped"] == said


def test_a_site_whose_key_is_revoked_takes_part_no_more(hub: Path) -> None:
    key = load_key(hub / "sites" / "site-01.federation" / "keys" / "site.pem")
    card = Card(role="site", name=EAST, key=public_name(key), valid_until=2**40, population=8).sign(key)
    nodes = Nodes(hub)
    (hub / "roster").mkdir()
    nodes.at["round 2"] = lambda: revoke(hub, card)
    assert run(hub, nodes)["accepted"] == [NORTH, nodes.names[2]]
    assert counts(hub) == [3, 3, 2]
