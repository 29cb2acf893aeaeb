"""Methods other than the default over real sites: one of a single round, and one that remembers people."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.ledger import Ledger
from client.memory import Memory
from client.site import SiteFile
from tests.deployed import Federation, wait_for
from tests.process_tree import left_behind
from tests.reckoning import charges, checkpoint_of, require_consistent, stored

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
Note = Callable[[str, object], None]
ROUNDS = 5


@dataclass
class OfMethod(Federation):
    """A federation whose sites allow two methods, and whose run takes `method` with `options`, in TOML."""

    method: str = "gs_wgan"
    options: str = "samples = 64, critic_steps = 100, warm_steps = 100"

    def write(self) -> None:
        super().write()
        with self.server.open("a") as file:
            file.write(self._chosen())
        for name in self.sites:
            text = self.site(name).read_text()
            assert 'methods = ["dp_sgd"]' in text
            allowed = 'methods = ["gs_wgan", "moments"]'
            self.site(name).write_text(text.replace('methods = ["dp_sgd"]', allowed))

    def _chosen(self) -> str:
        return f'method = "{self.method}"\noptions = {{ {self.options} }}\n'

    def choose(self, method: str, options: str, trust: str) -> str:
        """Another run, agreed to by the sites that run already; its plan's hash."""
        text, before, trusted = self.server.read_text(), self._chosen(), f'trust = "{self.trust}"'
        assert before in text and trusted in text
        self.method, self.options, self.trust = method, options, trust
        text = text.replace(before, self._chosen()).replace(trusted, f'trust = "{trust}"')
        self.server.write_text(text)
        return self.plan()

    def ledger(self, site: str) -> Path:
        return self.folder / site / "ledger.sqlite"

    def ended(self) -> None:
        wait_for("the end of the run", self.outcome, 600)
        wait_for("its description", (self.folder_of_run / "run.json").exists, 120)


def require_whole(federation: OfMethod) -> None:
    """Every planned round is in the model, charged once at every site; and the result generates."""
    plan, outcome = checkpoint_of(federation).plan, federation.outcome()
    assert plan.method == federation.method and outcome is not None
    assert (outcome["rounds"], outcome["stopped"]) == (plan.rounds, None), outcome
    assert outcome["accepted"] == sorted(federation.sites)
    for site, paid in require_consistent(federation).items():
        assert paid == dict.fromkeys(range(1, plan.rounds + 1), 1), site
    told = json.loads((federation.folder_of_run / "run.json").read_text())
    assert (told["method"], told["guarantee"]) == (federation.method, "differential privacy")
    assert told["privacy"]["epsilon_spent"] <= 8.0
    out = federation.folder / f"made by {federation.method}"
    federation.run("generate", federation.folder_of_run, "--count", 2, "--format", "npy", "--out", out)
    assert len(list(out.glob("*.npy"))) == 2


@pytest.fixture(scope="module")
def critics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfMethod]:
    """Critics at three sites, slow enough to be killed at work, whose first round is done."""
    federation = OfMethod(tmp_path_factory.mktemp("critics"), trust="local", rounds=ROUNDS)
    federation.prepare()
    try:
        federation.start_server()
        federation.start_sites()
        wait_for("the first round", lambda: federation.rounds_done() >= 1, 400)
        yield federation
    finally:
        federation.stop()


def remembered(ledger: Path) -> set[str]:
    """The marks of all of whom anything is remembered."""
    with closing(sqlite3.connect(f"file:{Memory(ledger).path}?mode=ro", uri=True)) as memory:
        found = memory.execute("SELECT person FROM trained JOIN memories USING (unit)")
        return {person for (person,) in found}


def kill_at_work(federation: OfMethod, site: str) -> int:
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
    critics: OfMethod, record_property: Note
) -> None:
    round = kill_at_work(critics, "north")
    wait_for("the round", lambda: critics.rounds_done() >= round, 300)
    assert charges(critics, "north", checkpoint_of(critics).plan.digest())[round] == 1
    record_property("crash", "a gate among its critics")


def test_withdrawal_erases_a_persons_critic_while_the_site_runs(critics: OfMethod) -> None:
    ledger, people = critics.ledger("east"), SiteFile.read(critics.site("east")).people()
    with Ledger.beside(ledger) as opened:
        marks = {opened.tombstones().mark(name): name for name in people}
    known = remembered(ledger)
    if critics.rounds_done() < ROUNDS:
        assert known and known <= set(marks), "nobody else's, and somebody's"
    mark = min(known, default=min(marks))
    told = critics.told("withdraw", critics.site("east"), marks[mark])
    assert told["new"] and told["known"]
    wait_for("erasure", lambda: mark not in remembered(ledger), 5)


def test_the_run_ends_and_no_critic_is_left(critics: OfMethod) -> None:
    critics.ended()
    require_whole(critics)
    assert not any(remembered(critics.ledger(name)) for name in critics.sites)


def test_moments_of_the_same_sites_under_secure_aggregation(critics: OfMethod) -> None:
    """One round, whatever the file asks for: more would cost noise and tell nothing."""
    critics.choose("moments", "fit_steps = 20", "secagg")
    critics.start_server()
    critics.ended()
    assert checkpoint_of(critics).plan.rounds == 1
    require_whole(critics)
    critics.stop()
    assert not left_behind(critics.folder)
