"""`kill -9` of every process of a server in turn while its run goes on, and disks that fill up under it and
under a site: real processes and commands, nothing leaves unpaid, nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from client.ledger import Ledger
from common.storage import held
from server.rounds import LOCK
from tests.deployed import Federation, wait_for
from tests.process_tree import descendant, left_behind
from tests.reckoning import all_back, checkpoint_of, latest, require_consistent, under_way
from tests.small_disk import NoDiskError, fill, free, small_disk

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
SITE_DISK, SERVER_DISK = 400, 400  # MiB; neither starts with less than 256 free
Note = Callable[[str, object], None]


class _OnSmallDisks(Federation):
    """Site east and the server each on a disk of their own, for as long as `disks` is open."""

    disks: ExitStack
    why_not = ""

    def write(self) -> None:
        super().write()
        try:
            self.disks.enter_context(small_disk(self.folder / "east", SITE_DISK))
            self.disks.enter_context(small_disk(self.state, SERVER_DISK))
        except NoDiskError as error:
            self.why_not = str(error)

    def fill(self, folder: Path) -> None:
        if self.why_not:
            pytest.skip(self.why_not)
        fill(folder)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_OnSmallDisks]:
    """Three sites whose run goes on with any two of them, and does not end by itself."""
    folder = tmp_path_factory.mktemp("server")
    federation = _OnSmallDisks(folder, trust="local", rounds=2000, min_sites=2, deadline=20)
    with ExitStack() as federation.disks:
        federation.prepare()
        with under_way(federation):
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
    wait_for("the end of the server", lambda: not left_behind(running.state), 180)
    done = checkpoint_of(running).state.round
    assert done <= running.rounds_done() <= done + 1  # a row may be ahead of the checkpoint: it is cut
    running.start_server()
    running.goes_on()
    all_back(running)
    record_property("crash", "supervisor of the server")


def test_a_site_with_a_full_disk_refuses_and_goes_on_once_there_is_space(
    running: _OnSmallDisks, record_property: Note
) -> None:
    place = running.folder / "east"
    running.fill(place)
    try:
        wait_for("rounds without the site", lambda: "east" not in latest(running), 120)
        running.goes_on(2)
        assert "east" not in latest(running)
        with Ledger.read(place / "ledger.sqlite"):
            pass  # it opens, and every entry is checked
    finally:
        free(place)
    running.command("client", "start", running.site("east"), "--detach")  # nothing where it still runs
    all_back(running)
    require_consistent(running)
    record_property("crash", "full disk of a site")


def test_a_server_with_a_full_disk_says_which_file_and_goes_on_once_there_is_space(
    running: _OnSmallDisks, record_property: Note
) -> None:
    before = checkpoint_of(running).state.round
    running.fill(running.state)
    try:
        wait_for("the run's words", lambda: _says_full(running), 240)
        assert checkpoint_of(running).state.round >= before
    finally:
        free(running.state)
    if running.told("server", "status", running.server)["server"] != "running":
        running.start_server()
    all_back(running, 400)
    record_property("crash", "full disk of the server")


def _says_full(federation: Federation) -> bool:
    """Whether the status names the folder and the way out, and the run or a site has felt it."""
    said = federation.command("server", "status", federation.server).out
    over = not held(federation.folder_of_run / LOCK)
    logs = (federation.folder / site / "federation" / "logs" / "supernode.log" for site in federation.sites)
    turned_away = any("Server error '5" in log.read_text() for log in logs)
    return (over or turned_away) and f"{federation.state} has 0 MiB left: free space" in said


def test_the_books_agree_after_all_crashes_and_full_disks(running: Federation) -> None:
    running.run("server", "stop", running.server)
    require_consistent(running)
    running.stop()
    assert not left_behind(running.folder)
