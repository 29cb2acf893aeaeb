"""A method that remembers people over real sites; one of a single round is beside the secure rounds."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from client.ledger import Ledger
from client.memory import Memory
from client.site import SiteFile
from tests.deployed import Federation, wait_for
from tests.process_tree import left_behind
from tests.reckoning import charges, checkpoint_of, ended, require_whole, stored

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
Note = Callable[[str, object], None]
ROUNDS = 5


@pytest.fixture(scope="module")
def critics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Critics at three sites, slow enough to be killed at work, whose first round is done."""
    federation = Federation(
        tmp_path_factory.mktemp("critics"),
        method="gs_wgan",
        options="samples = 64, critic_steps = 100, warm_steps = 100",
        trust="local",
        rounds=ROUNDS,
    )
    federation.prepare()
    try:
        federation.start_server()
        federation.start_sites()
        wait_for("the first round", lambda: federation.rounds_done() >= 1, 400)
        yield federation
    finally:
        federation.stop()


def ledger_of(federation: Federation, site: str) -> Path:
    return federation.folder / site / "ledger.sqlite"


def remembered(ledger: Path) -> set[str]:
    """The marks of all of whom anything is remembered."""
    with closing(sqlite3.connect(f"file:{Memory(ledger).path}?mode=ro", uri=True)) as memory:
        found = memory.execute("SELECT person FROM trained JOIN memories USING (unit)")
        return {person for (person,) in found}


def kill_at_work(federation: Federation, site: str) -> int:
    """`kill -9` of a gate between a charge and the release that it is for; the round."""
    digest, number = checkpoint_of(federation).plan.digest(), federation.process(site, "gate")
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        open_rounds = set(charges(federation, site, digest)) - stored(federation, site, digest)
        if open_rounds:
            os.kill(number, signal.SIGKILL)
            return open_rounds.pop()
        time.sleep(0.02)
    raise AssertionError(f"{site}: no round was under way within 240 s")


def test_a_gate_killed_among_its_critics_answers_the_round_for_the_same_charge(
    critics: Federation, record_property: Note
) -> None:
    round = kill_at_work(critics, "north")
    wait_for("the round", lambda: critics.rounds_done() >= round, 300)
    assert charges(critics, "north", checkpoint_of(critics).plan.digest())[round] == 1
    record_property("crash", "a gate among its critics")


def test_withdrawal_erases_a_persons_critic_while_the_site_runs(critics: Federation) -> None:
    ledger, people = ledger_of(critics, "east"), SiteFile.read(critics.site("east")).people()
    with Ledger.beside(ledger) as opened:
        marks = {opened.tombstones().mark(name): name for name in people}
    known = remembered(ledger)
    if critics.rounds_done() < ROUNDS:
        assert known and known <= set(marks), "nobody else's, and somebody's"
    mark = min(known, default=min(marks))
    told = critics.told("withdraw", critics.site("east"), marks[mark])
    assert told["new"] and told["known"]
    wait_for("erasure", lambda: mark not in remembered(ledger), 5)


def test_the_run_ends_and_no_critic_is_left(critics: Federation) -> None:
    ended(critics)
    require_whole(critics)
    assert not any(remembered(ledger_of(critics, name)) for name in critics.sites)
    critics.stop()
    assert not left_behind(critics.folder)
