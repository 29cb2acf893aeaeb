"""Disks that fill up in mid-run, a site's and the server's: nothing leaves unpaid, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from client.ledger import Ledger
from common.storage import held
from server.rounds import LOCK
from tests.deployed import Federation, wait_for
from tests.process_tree import left_behind
from tests.reckoning import all_back, checkpoint_of, latest, require_consistent, under_way
from tests.small_disk import fill, free, small_disk

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
SITE_DISK, SERVER_DISK = 400, 400  # MiB; neither starts with less than 256 free
Note = Callable[[str, object], None]


class _OnSmallDisks(Federation):
    """Site east and the server each on a disk of their own, for as long as `disks` is open."""

    disks: ExitStack

    def write(self) -> None:
        super().write()
        self.disks.enter_context(small_disk(self.folder / "east", SITE_DISK))
        self.disks.enter_context(small_disk(self.state, SERVER_DISK))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites whose run goes on with any two and does not end by itself."""
    federation = _OnSmallDisks(
        tmp_path_factory.mktemp("disk"), trust="local", rounds=2000, min_sites=2, deadline=20
    )
    with ExitStack() as federation.disks:
        federation.prepare()
        with under_way(federation):
            yield federation


def test_a_site_with_a_full_disk_refuses_and_goes_on_once_there_is_space(
    running: Federation, record_property: Note
) -> None:
    place = running.folder / "east"
    fill(place)
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
    running: Federation, record_property: Note
) -> None:
    before = checkpoint_of(running).state.round
    fill(running.state)
    try:
        wait_for("the run's words", lambda: _says_full(running), 240)
        assert checkpoint_of(running).state.round >= before
    finally:
        free(running.state)
    if running.told("server", "status", running.server)["server"] != "running":
        running.start_server()
    all_back(running, 400)
    running.run("server", "stop", running.server)
    require_consistent(running)
    record_property("crash", "full disk of the server")


def _says_full(federation: Federation) -> bool:
    """Whether the status names the folder and the way out, and the run or a site has felt it."""
    said = federation.command("server", "status", federation.server).out
    over = not held(federation.folder_of_run / LOCK)
    logs = (federation.folder / site / "federation" / "logs" / "supernode.log" for site in federation.sites)
    turned_away = any("Server error '5" in log.read_text() for log in logs)
    return (over or turned_away) and f"{federation.state} has 0 MiB left: free space" in said


def test_nothing_is_left_running_after_full_disks(running: Federation) -> None:
    running.stop()
    assert not left_behind(running.folder)
