"""Asking again: after a kill, from two sides at once, or a hundred times, one charge buys one release."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from client import accounts
from client.gate import LocalGate
from client.ledger import Charge, Ledger
from common.errors import Refusal
from common.event import PrivacyEvent
from common.query import Query
from tests.small_site import ask, crowd, make_gate, make_plan, make_state, new_ledger

ROUNDS = 6
PLAN = make_plan(rounds=ROUNDS)
PEOPLE = crowd(8)
STATES = [make_state(PLAN, round) for round in range(1, ROUNDS + 1)]


def test_averaging_a_repeated_answer_removes_no_noise(tmp_path: Path) -> None:
    with new_ledger(tmp_path / "l") as ledger:
        gate = make_gate(ledger, PEOPLE)
        gate.accept(PLAN, {})
        answers = [gate.release(ask(PLAN, STATES[0]), STATES[0]).total for _ in range(30)]
        assert float(torch.stack(answers).mean(dim=0).std()) == pytest.approx(PLAN.noise_std, rel=0.1)
        assert ledger.events() == [PLAN.event()]


def test_control_a_ledger_that_keeps_no_bytes_lets_the_noise_average_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "store", lambda self, charge, payload: None)
    with new_ledger(tmp_path / "l") as ledger:
        gate = make_gate(ledger, PEOPLE)
        gate.accept(PLAN, {})
        answers = [gate.release(ask(PLAN, STATES[0]), STATES[0]).total for _ in range(30)]
        assert float(torch.stack(answers).mean(dim=0).std()) < 0.5 * PLAN.noise_std


def answer_rounds(folder: Path) -> None:
    """A site and its server in one process: each round is asked and noted, from where they stand."""
    with Ledger.open(folder / "ledger") as ledger:
        gate = make_gate(ledger, PEOPLE)
        gate.accept(PLAN, {})
        done = len({line.split()[0] for line in sent(folder)})
        for state in [state for state in STATES[done:] for _ in range(2)]:  # the first answer may get lost
            release = gate.release(ask(PLAN, state), state)
            bytes_ = hashlib.sha256(release.total.numpy().tobytes()).hexdigest()
            with (folder / "sent").open("a") as file:
                file.write(f"{release.round} {release.charge} {bytes_}\n")
                file.flush()
                os.fsync(file.fileno())


def sent(folder: Path) -> list[str]:
    path = folder / "sent"
    return path.read_text().splitlines() if path.exists() else []


def start(folder: Path, sabotage: Callable[[], None] | None = None) -> int:
    child = os.fork()
    if child == 0:
        try:
            if sabotage is not None:
                sabotage()
            answer_rounds(folder)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def kill_at(name: str, nth: int, *, after: bool) -> Callable[[], None]:
    """In the child: die by SIGKILL before or after the nth call of a method of the ledger."""

    def install() -> None:
        real, calls = getattr(Ledger, name), iter(range(1, 1000))

        def dying(self: Ledger, *arguments: Any) -> Any:
            last = next(calls) == nth
            if last and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            found = real(self, *arguments)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        setattr(Ledger, name, dying)

    return install


def two_releases_under_one_charge(folder: Path) -> bool:
    pairs = {tuple(line.split()[1:]) for line in sent(folder)}
    return len({charge for charge, _ in pairs}) < len(pairs)


def charged(folder: Path) -> int:
    with Ledger.open(folder / "ledger") as ledger:
        return sum(event.count for event in ledger.events())


def prepared(folder: Path) -> Path:
    folder.mkdir()
    new_ledger(folder / "ledger").close()
    return folder


def test_a_site_killed_anywhere_never_spends_less_than_it_sent_and_goes_on(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    points = [("reserve", 1, False), ("reserve", 1, True), ("charge", 1, False), ("charge", 1, True),
              ("store", 1, False), ("store", 2, True), ("charge", 2, True)]  # fmt: skip
    for name, nth, after in points:
        assert os.waitpid(start(folder, kill_at(name, nth, after=after)), 0)[1] == signal.SIGKILL
        assert charged(folder) >= len({line.split()[0] for line in sent(folder)})
    for delay in (0.01, 0.03, 0.06, 0.1):
        child = start(folder)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert charged(folder) >= len({line.split()[0] for line in sent(folder)})
    assert os.waitpid(start(folder), 0)[1] == 0
    assert {line.split()[0] for line in sent(folder)} == {str(round) for round in range(1, ROUNDS + 1)}
    assert charged(folder) == ROUNDS
    assert not two_releases_under_one_charge(folder)


@pytest.mark.parametrize("sabotage", ["bytes are not kept", "the charge follows the release"])
def test_control_another_order_fails_the_same_checks(tmp_path: Path, sabotage: str) -> None:
    folder = prepared(tmp_path / "run")

    def forgetful() -> None:
        Ledger.store = lambda self, charge, payload: None  # type: ignore[method-assign]

    def unpaid(self: Ledger, query: Query, digest: str, event: PrivacyEvent) -> Charge:
        return Charge(id=query.round, plan="", round=query.round, payload=None)

    def late() -> None:
        """Sends first: the charge is never written, as if killed in between."""
        Ledger.charge = unpaid  # type: ignore[method-assign]
        Ledger.store = lambda self, charge, payload: None  # type: ignore[method-assign]

    for _ in range(2):
        os.waitpid(start(folder, forgetful if sabotage == "bytes are not kept" else late), 0)
    underpaid = charged(folder) < len({line.split()[0] for line in sent(folder)})
    assert underpaid or two_releases_under_one_charge(folder)


def race(gates: list[LocalGate]) -> set[tuple[int, bytes]]:
    """All gates answer one query at once; what was sent."""
    found: set[tuple[int, bytes]] = set()
    together = threading.Barrier(len(gates))

    def answer(gate: LocalGate) -> None:
        together.wait()
        try:
            release = gate.release(ask(PLAN, STATES[0]), STATES[0])
        except Refusal:
            return
        found.add((release.charge, release.total.numpy().tobytes()))

    threads = [threading.Thread(target=answer, args=(gate,)) for gate in gates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("shared", [True, False], ids=["one gate", "a gate each"])
def test_a_query_put_from_many_sides_at_once_has_one_answer(tmp_path: Path, shared: bool) -> None:
    with new_ledger(tmp_path / "l") as ledger:
        gates = [make_gate(ledger, PEOPLE) for _ in range(1 if shared else 4)]
        gates[0].accept(PLAN, {})
        assert len(race(gates * (4 if shared else 1))) == 1
        assert ledger.events() == [PLAN.event()]


def test_control_without_the_single_write_two_answers_share_a_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(self: Ledger, charge: Charge, payload: bytes) -> None:
        with self._book.transaction() as page:
            page.append("stored", None, plan=charge.plan, number=charge.id, payload="", withdrawn=0)

    both_charged = threading.Barrier(2)
    real = Ledger.charge

    def charge(self: Ledger, *arguments: Any) -> Charge:
        found = real(self, *arguments)
        both_charged.wait()
        return found

    monkeypatch.setattr(Ledger, "charge", charge)
    for store, answers in ((Ledger.store, 1), (overwrite, 2)):
        monkeypatch.setattr(Ledger, "store", store)
        if store is overwrite:
            monkeypatch.setitem(accounts._APPLY, "stored", lambda *_: None)
        with new_ledger(tmp_path / str(answers)) as ledger:
            gates = [make_gate(ledger, PEOPLE) for _ in range(2)]
            gates[0].accept(PLAN, {})
            assert len(race(gates)) == answers


def test_a_server_that_asks_one_round_over_and_over_pays_for_each_answer(tmp_path: Path) -> None:
    with new_ledger(tmp_path / "l", epsilon=math.inf) as ledger:
        gate = make_gate(ledger, PEOPLE)
        gate.accept(PLAN, {})
        for number in range(ROUNDS):
            state = make_state(PLAN, 1, scale=0.1 + number / 10)
            gate.release(ask(PLAN, state), state)
        with pytest.raises(Refusal) as caught:
            state = make_state(PLAN, 1, scale=5)
            gate.release(ask(PLAN, state), state)
        assert caught.value.code == "BUDGET_EXHAUSTED"
        assert ledger.events() == [PLAN.reserved()]
