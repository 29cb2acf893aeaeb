"""`kill -9` of every process of a site in turn while its run goes on, and sites that are slow or lie: real
processes with real keys, by commands; none spoils the others' rounds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deployed import Federation, wait_for
from tests.process_tree import child, left_behind, processes
from tests.reckoning import (
    all_back,
    charges,
    checkpoint_of,
    kept_releases,
    latest,
    next_state,
    paused,
    require_consistent,
    transcript,
    under_way,
)

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
DEADLINE = 20
LIES = ("longer", "matrix", "not a number", "whole numbers", "another name", "replay")
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites, any two of which are enough, in a run that does not end by itself; the file `lie` tells
    what site west's code says."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "lie").write_text("")
    lying = ("env", f"PYTHONPATH={Path(__file__).parent / 'strange'}", f"LIE={folder / 'lie'}")
    federation = Federation(
        folder, trust="local", rounds=2000, min_sites=2, deadline=DEADLINE, around={"west": lying}
    )
    federation.prepare()
    with under_way(federation):
        yield federation


def test_rounds_go_on_when_a_gate_is_killed(running: Federation, record_property: Note) -> None:
    running.kill("east", "gate")
    running.goes_on()
    all_back(running)
    record_property("crash", "gate")


def _courier(federation: Federation, site: str) -> int:
    """The process of which each ClientApp of a site is a fork."""
    supernode = federation.process(site, "supernode")
    shell = int(wait_for("its program", lambda: child(supernode, "flower-superexec"), 60))
    return int(wait_for("a courier", lambda: child(shell, "client.courier"), 60))


def test_rounds_go_on_when_a_clientapp_is_killed(running: Federation, record_property: Note) -> None:
    courier, deadline = _courier(running, "north"), time.monotonic() + 60
    while (number := child(courier, "client.courier")) is None:  # it lives for one message
        assert time.monotonic() < deadline
    os.kill(number, signal.SIGKILL)
    running.goes_on()
    all_back(running)
    record_property("crash", "clientapp")


def test_rounds_go_on_when_a_courier_is_killed_and_it_comes_back(
    running: Federation, record_property: Note
) -> None:
    """Its SuperNode would live on, take messages and answer none: it is started again."""
    number = _courier(running, "west")
    os.kill(number, signal.SIGKILL)
    running.goes_on(1)
    all_back(running)
    assert _courier(running, "west") != number
    record_property("crash", "courier")


def test_rounds_go_on_when_a_supernode_is_killed_and_it_comes_back(
    running: Federation, record_property: Note
) -> None:
    running.kill("west", "supernode")
    running.goes_on()
    all_back(running)
    record_property("crash", "supernode")


def test_what_a_killed_supervisor_of_a_site_kept_ends_with_it(
    running: Federation, record_property: Note
) -> None:
    kept = [running.process("east", name) for name in ("gate", "supernode")]
    running.kill("east", "")
    wait_for("the end of both", lambda: not {pid for pid, _, _ in processes()} & set(kept), 60)
    assert running.told("client", "status", running.site("east"))["state"] == "crashed"
    running.goes_on()
    before = set(left_behind(running.folder / "east"))
    running.start_site("east")  # what Flower's own processes left is ended, too
    assert not before & set(left_behind(running.folder / "east"))
    all_back(running)
    record_property("crash", "supervisor of a site")


def test_a_release_is_added_once_though_its_gate_dies_in_the_round(
    running: Federation, record_property: Note
) -> None:
    """Round by round: what the ledgers keep, summed again by our own arithmetic, is the model to the bit."""
    before_round = paused(running)
    before, digest = checkpoint_of(running), checkpoint_of(running).plan.digest()
    running.run("server", "resume", running.server)
    wait_for(
        "the charge of a round",
        lambda: charges(running, "north", digest)[before_round + 1],
        120,
    )
    running.run("server", "pause", running.server)
    running.kill("north", "gate")
    paused(running)
    after = checkpoint_of(running)
    if after.state.round > before_round + 1:
        pytest.fail("another round went on before the pause")
    sites = transcript(running.folder_of_run)[after.state.round]
    kept = {site: value for site, value in kept_releases(running, after.state.round).items() if site in sites}
    assert sorted(kept) == sorted(sites)
    assert next_state(before, kept).digest() == after.state.digest()
    for site in sites:  # control: a sum that counts a release twice is another model
        assert next_state(before, kept, twice=site).digest() != after.state.digest()
    running.run("server", "resume", running.server)
    running.goes_on(1)
    record_property("crash", "gate between its charge and its answer")


def _said_of(federation: Federation, site: str) -> list[str]:
    """What the server's log says of refusals of a site's answers."""
    log = federation.state / "logs" / "run.log"  # written from the first refusal on
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [line for line in said if f"{site}, round" in line]


@pytest.mark.parametrize("lie", LIES)
def test_the_release_of_a_site_that_lies_is_in_no_model(
    running: Federation, lie: str, record_property: Note
) -> None:
    """The others' rounds go on without it; the server counts what it refused."""
    paused(running)
    (running.folder / "lie").write_text(lie)
    first, before = running.rounds_done() + 1, len(_said_of(running, "west"))
    running.run("server", "resume", running.server)
    running.goes_on(1)
    done = paused(running)
    (running.folder / "lie").write_text("")
    found = transcript(running.folder_of_run)
    assert all(found[round] == ["east", "north"] for round in range(first, done + 1)), found
    assert len(_said_of(running, "west")) - before >= done + 1 - first
    record_property("crash", f"a lie: {lie}")


def test_control_a_site_whose_code_does_not_lie_is_in_the_model_again(running: Federation) -> None:
    running.run("server", "resume", running.server)
    all_back(running)


def test_a_site_that_is_late_is_left_out_and_its_late_answer_is_not_added(
    running: Federation, record_property: Note
) -> None:
    digest = checkpoint_of(running).plan.digest()
    done = paused(running)
    gate = running.process("north", "gate")
    os.kill(gate, signal.SIGSTOP)
    try:
        running.run("server", "resume", running.server)
        wait_for("a round without it", lambda: running.rounds_done() > done, 120)
    finally:
        os.kill(gate, signal.SIGCONT)
    assert "north" not in latest(running)
    all_back(running)
    wait_for("its late charge", lambda: charges(running, "north", digest)[done + 1] <= 1, 10)
    assert "north" not in transcript(running.folder_of_run)[done + 1]
    record_property("crash", "a gate that stood still beyond the deadline")


def test_the_books_agree_after_all_crashes_and_lies(running: Federation) -> None:
    running.run("server", "stop", running.server)
    found = require_consistent(running)
    for paid in found.values():
        assert set(paid.values()) == {1}, "under local trust a repeat is answered from the ledger"


def test_control_books_that_count_a_release_twice_or_unpaid_are_noticed(running: Federation) -> None:
    path = running.folder_of_run / "transcript.jsonl"
    text = path.read_text()
    *others, last = text.splitlines()
    row = json.loads(last)
    twice = {**row, "seen": [*row["seen"], row["seen"][0]]}
    unpaid = {**row, "seen": [{**row["seen"][0], "site": "nobody"}, *row["seen"][1:]]}
    for wrong in (twice, unpaid):
        path.write_text("\n".join([*others, json.dumps(wrong)]) + "\n")
        with pytest.raises((AssertionError, KeyError)):
            require_consistent(running)
    path.write_text(text)
    require_consistent(running)


def test_nothing_is_left_running_after_all_crashes_and_lies(running: Federation) -> None:
    running.stop()
    assert not left_behind(running.folder)
