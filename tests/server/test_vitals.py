"""What a server's monitoring tells, from the files that its processes write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.accounting import ACCOUNTANT, epsilon
from common.event import NEIGHBOURING
from common.monitoring import page
from common.plan import Plan
from common.process import Process
from common.storage import exclusive, write_json
from common.supervised import LOCK, Watched, write_status
from common.supervised import Status as Supervised
from server.front_count import COUNTS
from server.journal import append_row, metrics_row
from server.proposal import propose
from server.rounds import METRICS
from server.server_file import ServerFile
from server.status import Status
from server.vitals import MEASURES, vitals
from tests.server.planned import SITES, made, server_with

Planned = tuple[ServerFile, Path, Plan]


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    config = ServerFile.read(server_with(tmp_path / "server"))
    proposal = propose(config)
    return config, proposal.folder, proposal.plan


@contextmanager
def supervised(config: ServerFile, **states: str) -> Iterator[None]:
    """A supervisor at work whose children are in those `states`, each with a restart behind it."""
    now, folder = time.time(), config.folder / "run"
    children = tuple(Watched(name=name, state=state, since=now, restarts=1) for name, state in states.items())
    folder.mkdir(exist_ok=True)
    with exclusive(folder / LOCK):
        found = Supervised(process=Process.own(), since=now, state="running", code=0, children=children)
        write_status(folder, found)
        yield


def test_before_the_first_start_nothing_is_up_and_the_whole_budget_is_left(planned: Planned) -> None:
    _, _, plan = planned
    found = vitals(*planned)
    assert found.down == ("supervisor",) and found.waiting == ("the run: starting",)
    assert found.values["fedmotion_server_sites"] == {("plan",): 3.0, ("enrolled",): 0.0, ("answered",): 0.0}
    terms = (f"{plan.delta:.3g}", "user", NEIGHBOURING, ACCOUNTANT, "local")
    claim = epsilon([plan.reserved()], plan.delta)
    told = found.values["fedmotion_server_epsilon"]
    assert told == pytest.approx({("spent", *terms): 0.0, ("left", *terms): claim, ("plan", *terms): claim})
    assert {what for (what,) in found.values["fedmotion_server_expiry_timestamp_seconds"]} == {
        "card", "front certificate",
    }  # fmt: skip
    page(MEASURES, found)


def test_a_run_under_way_is_ready_and_tells_where_it_stands(planned: Planned) -> None:
    config, folder, plan = planned
    write_json(made(config.folder / "run") / COUNTS, {"200": 7, "404": 2})
    claim = epsilon([plan.reserved()], plan.delta)
    append_row(folder / METRICS, row := metrics_row(plan, 1, 2, claim))
    status = Status(folder, plan, 1, lambda: False)
    status.know(answered=list(SITES[:2]), last_round=1234.5)
    status.say("round 2", enrolled=list(SITES))
    with supervised(config, superlink="running", front="running"):
        found = vitals(*planned)
    assert (found.down, found.waiting) == ((), ())
    values = found.values
    assert values["fedmotion_server_run_state"] == {("round",): 1.0}
    assert values["fedmotion_server_round"] == {(): 1.0} and values["fedmotion_server_rounds"] == {(): 3.0}
    assert values["fedmotion_server_sites"] == {("plan",): 3.0, ("enrolled",): 3.0, ("answered",): 2.0}
    assert values["fedmotion_server_last_round_timestamp_seconds"] == {(): 1234.5}
    assert values["fedmotion_server_front_requests"] == {("200",): 7.0, ("404",): 2.0}
    assert values["fedmotion_server_process_restarts"] == {("superlink",): 1.0, ("front",): 1.0}
    spent = {labels[0]: value for labels, value in values["fedmotion_server_epsilon"].items()}
    assert spent["spent"] == row["epsilon"] > 0 and spent["left"] == row["epsilon_left"] < spent["plan"]


@pytest.mark.parametrize("state", ["paused", "waiting for sites", "stopped"])
def test_a_run_that_does_not_go_on_is_not_ready_and_says_why(planned: Planned, state: str) -> None:
    config, folder, plan = planned
    Status(folder, plan, 0, lambda: False).say(state)
    with supervised(config, superlink="running", front="waiting"):
        found = vitals(*planned)
    assert (found.down, found.waiting) == (("front",), (f"the run: {state}",))
    assert found.values["fedmotion_server_process_up"] == {("superlink",): 1.0, ("front",): 0.0}


def test_of_a_supervisor_that_was_killed_nothing_is_up(planned: Planned) -> None:
    with supervised(planned[0], superlink="running"):
        pass
    assert vitals(*planned).down == ("superlink",)


def test_no_site_and_no_person_is_named(planned: Planned) -> None:
    """Sites are counted, not named: a page that leaks tells no more than metrics.jsonl."""
    config, folder, plan = planned
    status = Status(folder, plan, 1, lambda: False)
    status.know(answered=list(SITES))
    status.say("round 2", enrolled=list(SITES))
    with supervised(config, superlink="running"):
        text = page(MEASURES, vitals(*planned)).decode()
    assert not [site for site in SITES if site in text]
