"""Three sites and a server on this machine, over TLS, by their operators' commands, and a crash."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from client.ledger import Ledger
from common.accounting import epsilon
from server.checkpoint import Checkpoint
from tests.deployed import Federation, wait_for
from tests.process_tree import left_behind


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation that was joined, planned, agreed to, started, hit by crashes, and has ended its run."""
    federation = Federation(tmp_path_factory.mktemp("federation"), rounds=3)
    federation.prepare()
    try:
        federation.start_server()  # the sites are late: the run waits for them
        federation.start_sites()
        wait_for("the first round", lambda: federation.rounds_done() >= 1, 240)
        os.kill(federation.process("east", "gate"), signal.SIGKILL)
        wait_for("the end of the run", federation.outcome, 300)
        wait_for("its description", (federation.folder_of_run / "run.json").exists, 60)
        yield federation
    finally:
        federation.stop()


@pytest.mark.timeout(600)
def test_three_sites_train_under_secure_aggregation_and_survive_a_killed_gate(ran: Federation) -> None:
    outcome = ran.outcome()
    assert outcome is not None and outcome["accepted"] == ["east", "north", "west"]
    checkpoint = Checkpoint.load(ran.folder_of_run)
    assert checkpoint.plan.trust == "secagg" and len(checkpoint.plan.roster) == 3
    done = checkpoint.state.round
    assert ran.rounds_done() == done == outcome["rounds"]
    assert done == 3 or (done == 2 and "reserv" in outcome["stopped"]), outcome


@pytest.mark.timeout(600)
def test_no_ledger_is_below_the_truth_after_a_crash(ran: Federation) -> None:
    """Every round that the model learned from is charged at every site, none beyond the reservation."""
    plan, done = Checkpoint.load(ran.folder_of_run).plan, ran.rounds_done()
    for name in ran.sites:
        with Ledger.read(ran.folder / name / "ledger.sqlite") as ledger:
            events = ledger.events(plan.digest())
        assert done <= sum(event.count for event in events) <= plan.rounds
        assert epsilon(events, plan.delta) <= 8.0
    told = json.loads((ran.folder_of_run / "run.json").read_text())
    assert told["privacy"]["trust"] == "secagg" and told["guarantee"] == "differential privacy"
    assert told["privacy"]["epsilon_spent"] <= 8.0


@pytest.mark.timeout(600)
def test_what_left_a_site_says_nothing_in_words(ran: Federation) -> None:
    """No log of the server holds a word of a site's own, nor a person's name."""
    said = b"".join(path.read_bytes() for path in (ran.state / "logs").rglob("*") if path.is_file())
    assert said and b"person" not in said.lower()


@pytest.mark.timeout(600)
def test_nothing_is_left_running(ran: Federation) -> None:
    ran.stop()
    assert not left_behind(ran.folder)
