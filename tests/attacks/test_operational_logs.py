"""What an operator's log collector and monitoring read says nothing of people, whoever they are (T4)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message

from client.federation import Places
from client.membership import Membership
from client.site import SiteFile
from client.standing import standing
from client.users import Users
from client.vitals import MEASURES, look
from common import logs
from common.card import Card
from common.methods import NAMES
from common.monitoring import page
from common.process import Process
from common.signing import public_name
from common.supervised import Status, Watched
from tests.attacks.test_non_interference import (
    PEOPLE,
    UNREADABLE,
    WORDS,
    answer,
    constant_sum,
    conversation,
    site,
    torn,
)
from tests.small_methods import law_plan
from tests.small_site import as_sent, make_gate, new_ledger

PLAN = law_plan(next(iter(NAMES)), rounds=2)
FEW = ("nobody", "many", "huge", "raising", "torn")
NAMED = ("quasimodo", "esmeralda", "notre_dame", ".bvh")
SITE = """name = "north"
ledger = "ledger.sqlite"
unit = "user"
methods = ["dp_sgd"]
declared_population = 1200
[budget]
epsilon = 100.0
delta = 1e-3
[data]
path = "notre_dame"
"""


@contextmanager
def heard(folder: Path) -> Iterator[logs.Tally]:
    """All that the project logs, in `folder`: words in site.log, events in gate.log; and their tally."""
    folder.mkdir(parents=True, exist_ok=True)
    log, tally = logging.getLogger("fedmotion"), logs.Tally()
    before = log.handlers, log.propagate, log.level
    log.handlers = []
    logs.attach(logs.words(folder / "site.log"), logs.events(folder / "gate.log"), tally)
    try:
        yield tally
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers, log.propagate, level = before
        log.setLevel(level)


def observed(folder: Path, people: Callable[[], Users]) -> tuple[str, str, str]:
    """What one site leaves after every kind of message: words, events and metrics, without clocks."""
    with heard(folder) as tally, new_ledger(folder / "ledger") as ledger:
        gate = make_gate(ledger, people, methods=(PLAN.method,))
        with site(folder, gate) as grid:
            for kind, content in conversation(PLAN):
                answer(grid, Message(as_sent(content), 2, kind))
        metrics = told(folder, {**standing(*standing_site(folder)), **tally.facts()})
    events = [line.partition(" ")[2] for line in (folder / "gate.log").read_text().splitlines()]
    return (folder / "site.log").read_text(), "\n".join(events), metrics


def standing_site(folder: Path) -> tuple[SiteFile, Membership]:
    """Whom the gate of `folder` says it is: a member of a federation whose cards are always the same."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    card = Card(role="coordinator", name="c", key=public_name(key), issued=1, valid_until=2**40).sign(key)
    card.write(folder / "coordinator.json")
    (folder / "SITE.toml").write_text(SITE.replace("ledger.sqlite", "ledger"))
    return SiteFile.read(folder / "SITE.toml"), Membership(
        site="north", folder=folder, key=key, coordinator=card
    )


def told(folder: Path, gate: dict[str, object]) -> str:
    """The page of metrics, without the measures that are clocks."""
    child = Watched(name="gate", state="running", since=0.0)
    supervised = Status(process=Process.own(), since=0.0, state="running", code=0, children=(child,))
    text = page(MEASURES, look(Places(folder=folder), supervised, gate)).decode()
    clocks = [measure.name for measure in MEASURES if measure.clock]
    return "\n".join(line for line in text.splitlines() if not any(name in line for name in clocks))


def check_same_whoever_they_are(folder: Path) -> None:
    """Nobody, many, huge, not finite, unreadable in part: events and metrics are the same to the byte."""
    with pytest.MonkeyPatch.context() as patch:
        constant_sum(patch)
        found = {name: observed(folder / name, PEOPLE[name])[1:] for name in FEW}
        failed = {name: observed(folder / name, people)[1:] for name, people in UNREADABLE.items()}
    for each in (found, failed):
        assert len({events for events, _ in each.values()}) == 1, "the log tells who the people are"
        assert len({metrics for _, metrics in each.values()}) == 1, "the metrics tell who the people are"
    events, metrics = found["many"]
    assert events.count("answered kind=Query") == 3 and "refused kind=Query code=STALE" in events
    assert 'fedmotion_site_answers_total{kind="Query"} 3.0' in metrics
    assert 'fedmotion_site_refusals_total{code="OUTSIDE_PLAN"}' in metrics


def check_no_word_of_people_in_the_log(folder: Path) -> None:
    """Names and reasons stand in the words, mode 0600, and neither in the events nor in the metrics."""
    for name, people in {**UNREADABLE, "torn": torn}.items():
        words, events, metrics = observed(folder / f"words-{name}", people)
        if name in UNREADABLE:
            assert [word for word in WORDS if word.decode() in words], "nothing was provoked"
        assert not [word for word in WORDS if word.decode() in events + metrics]
    words, events, metrics = of_a_folder(folder / "paris")
    assert len([name for name in NAMED if name in words]) >= 3, "nothing was provoked"
    assert not [name for name in NAMED if name in events + metrics]


def of_a_folder(folder: Path) -> tuple[str, str, str]:
    """The same of a site as it is deployed, by its file, whose recordings are damaged."""
    data = folder / "notre_dame"
    data.mkdir(parents=True)
    for person in ("quasimodo", "esmeralda"):
        (data / f"{person}_walk.bvh").write_text("HIERARCHY\nROOT Hips\n{ nonsense")
    (folder / "SITE.toml").write_text(SITE.replace("notre_dame", str(data)))
    file = SiteFile.read(folder / "SITE.toml")
    return observed(folder, file.users)


def test_the_operational_log_and_the_metrics_are_the_same_whoever_the_people_are(tmp_path: Path) -> None:
    check_same_whoever_they_are(tmp_path)


def test_the_operational_log_and_the_metrics_name_nobody(tmp_path: Path) -> None:
    check_no_word_of_people_in_the_log(tmp_path)
