"""`kill -9` of every process of a site in turn while its run goes on: real processes and commands."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.deployed import Federation, wait_for
from tests.process_tree import child, left_behind, processes
from tests.reckoning import (
    all_back,
    charges,
    checkpoint_of,
    kept_releases,
    next_state,
    paused,
    require_consistent,
    transcript,
    two_of_three,
)

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites whose run goes on with any two of them, and does not end by itself."""
    with two_of_three(tmp_path_factory.mktemp("site")) as federation:
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


def test_the_books_agree_after_all_crashes(running: Federation) -> None:
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


def test_nothing_is_left_running_after_all_crashes(running: Federation) -> None:
    running.stop()
    assert not left_behind(running.folder)
