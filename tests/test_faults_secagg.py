"""`kill -9` of sites and server at each state of a securely aggregated round; all charges are accounted."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.deployed import Federation, wait_for
from tests.process_tree import descendant, left_behind
from tests.reckoning import (
    charges,
    checkpoint_of,
    ended,
    paused,
    require_consistent,
    require_whole,
    transcript,
    under_way,
)

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
SITES = ("east", "north", "south", "west")
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Four sites, three of which are enough; the run is paused between tests and does not end by itself."""
    federation = Federation(
        tmp_path_factory.mktemp("secagg"), sites=SITES, rounds=500, min_sites=3, deadline=20
    )
    federation.prepare()
    with under_way(federation):
        yield federation


class Round:
    """The one round that comes next of a paused run: watched, hit, ended, and reckoned up."""

    def __init__(self, federation: Federation) -> None:
        paused(federation)
        self.federation = federation
        self.number = federation.rounds_done() + 1
        self._said = {site: self._log(site) for site in federation.sites}
        federation.run("server", "resume", federation.server)

    def _log(self, site: str) -> str:
        return (self.federation.folder / site / "federation" / "logs" / "gate.log").read_text()

    def after(self, kind: str, *sites: str) -> None:
        """Wait until each of `sites` has answered such a message in this round, then ask for a pause."""
        for site in sites:
            wait_for(
                f"{kind} at {site}",
                lambda site=site: f"kind={kind}" in self._log(site)[len(self._said[site]) :],  # type: ignore[misc]
                120,
            )
        self.federation.command("server", "pause", self.federation.server)

    def end(self) -> tuple[list[str], dict[str, int]]:
        """Whose releases are in the round once it is done, and how often each site was charged for it."""
        federation = self.federation
        if paused(federation) < self.number:  # between two attempts: it is asked again
            federation.run("server", "resume", federation.server)
            wait_for("the round", lambda: federation.rounds_done() >= self.number, 240)
            paused(federation)
        digest = checkpoint_of(federation).plan.digest()
        paid = {site: charges(federation, site, digest)[self.number] for site in federation.sites}
        return sorted(transcript(federation.folder_of_run)[self.number]), paid


OTHERS = [site for site in SITES if site != "north"]


@pytest.mark.parametrize(
    ("state", "in_the_sum", "charged"),
    [("Advertise", False, 0), ("Cohort", False, 0), ("Query", True, 1), ("Confirm", True, 1)],
    ids=["keys", "shares", "vector", "signature"],
)
def test_three_of_four_complete_a_round_in_which_a_gate_is_killed_after_its(
    running: Federation, state: str, in_the_sum: bool, charged: int, record_property: Note
) -> None:
    """After its keys or shares it is out, uncharged; after its vector it is in the sum, and paid for it."""
    round = Round(running)
    round.after(state, "north")
    running.kill("north", "gate")
    sites, paid = round.end()
    assert set(OTHERS) <= set(sites)
    assert ("north" in sites) == in_the_sum
    assert paid == {**dict.fromkeys(OTHERS, 1), "north": charged}
    record_property("crash", f"gate after {state}")


def test_a_charge_whose_release_never_left_stays_charged_and_is_in_no_sum(
    running: Federation, record_property: Note
) -> None:
    """The gate dies inside its release: after the charge is on disk, before the final bytes are."""
    for _ in range(8):  # the state lasts for as long as the sum is computed
        round = Round(running)
        _kill_inside_release(running, "north")
        running.command("server", "pause", running.server)
        sites, paid = round.end()
        assert paid["north"] == 1
        if "north" not in sites:
            break
    assert sites == OTHERS and paid == dict.fromkeys(SITES, 1)
    record_property("crash", "gate between charge and store")


def _kill_inside_release(federation: Federation, site: str) -> None:
    """Kill the site's gate as soon as its ledger's newest entry is another charge."""
    number, path = federation.process(site, "gate"), federation.folder / site / "ledger.sqlite"
    newest = "SELECT seq, json_extract(body, '$.kind') FROM entries ORDER BY seq DESC LIMIT 1"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as ledger:
        first = ledger.execute(newest).fetchone()[0]
        deadline = time.monotonic() + 120
        while True:
            seq, kind = ledger.execute(newest).fetchone()
            if seq > first and kind == "charged":
                os.kill(number, signal.SIGKILL)
                return
            assert time.monotonic() < deadline, "no charge came"


def test_a_round_below_its_minimum_is_void_asked_again_and_charged_again(
    running: Federation, record_property: Note
) -> None:
    """Two of four die after their vectors: nothing is unmasked, and the next attempt is a new charge."""
    round = Round(running)
    round.after("Query", "north", "west")
    for site in ("north", "west"):
        running.kill(site, "gate")
    sites, paid = round.end()
    assert len(sites) >= 3
    assert all(paid[site] == 2 for site in ("east", "south") if site in sites), paid
    assert all(1 <= count <= 3 for count in paid.values()), paid
    record_property("crash", "two gates after their vectors")


def test_a_round_whose_serverapp_is_killed_is_asked_again_from_the_checkpoint(
    running: Federation, record_property: Note
) -> None:
    """The masked sum is lost with the process: sites pay for the second attempt, which is in the model."""
    round = Round(running)
    round.after("Query", "north")
    superexec = running.process("", "superexec")
    number = descendant(superexec, "flwr-serverapp")
    assert number is not None
    os.kill(number, signal.SIGKILL)
    sites, paid = round.end()
    assert len(sites) >= 3
    assert paid["north"] == 2 and all(1 <= count <= 2 for count in paid.values()), paid
    record_property("crash", "serverapp after a vector")


def test_the_books_agree_after_all_states(running: Federation) -> None:
    running.run("server", "stop", running.server)
    found = require_consistent(running)
    counts = Counter(count for paid in found.values() for count in paid.values())
    assert counts[2] >= 3, (
        counts
    )  # control: attempts that came to nothing are in the ledgers, and are seen here


def test_moments_of_the_same_sites_are_one_round_under_secure_aggregation(running: Federation) -> None:
    """Whatever the file asks for: more would cost noise and tell nothing."""
    running.choose("moments", "fit_steps = 20", "secagg")
    running.start_server()
    ended(running)
    assert checkpoint_of(running).plan.rounds == 1
    require_whole(running)
    running.stop()
    assert not left_behind(running.folder)
