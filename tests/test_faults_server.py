"""`kill -9` of every process of a server in turn while its run goes on: real processes and commands."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.deployed import Federation, wait_for
from tests.process_tree import descendant, left_behind
from tests.reckoning import all_back, checkpoint_of, require_consistent, two_of_three

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites whose run goes on with any two of them, and does not end by itself."""
    with two_of_three(tmp_path_factory.mktemp("server")) as federation:
        yield federation


@pytest.mark.parametrize("victim", ["superlink", "superexec", "front", "conductor"])
def test_rounds_go_on_when_a_process_of_the_server_is_killed(
    running: Federation, victim: str, record_property: Note
) -> None:
    running.kill("", victim)
    running.goes_on()
    record_property("crash", victim)


def test_rounds_go_on_when_the_serverapp_is_killed(running: Federation, record_property: Note) -> None:
    superexec = running.process("", "superexec")
    number = wait_for("a ServerApp", lambda: descendant(superexec, "flwr-serverapp"), 60)
    os.kill(number, signal.SIGKILL)
    running.goes_on()
    assert running.told("server", "status", running.server)["run"]["attempts"] >= 2
    record_property("crash", "serverapp")


def test_a_run_goes_on_from_its_checkpoint_when_the_servers_supervisor_is_killed(
    running: Federation, record_property: Note
) -> None:
    running.kill("", "")
    wait_for("the end of the server", lambda: not left_behind(running.state), 90)
    done = checkpoint_of(running).state.round
    assert done <= running.rounds_done() <= done + 1  # a row may be ahead of the checkpoint: it is cut
    running.start_server()
    running.goes_on()
    all_back(running)
    record_property("crash", "supervisor of the server")


def test_the_books_agree_after_all_crashes_of_the_server(running: Federation) -> None:
    running.run("server", "stop", running.server)
    require_consistent(running)
    running.stop()
    assert not left_behind(running.folder)
