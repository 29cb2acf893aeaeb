"""T11: of many gates on one ledger one opens, and however many plans come at once, the budget holds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from client.accounts import Accounts
from client.book import Book
from client.ledger import Budget, Ledger
from common.errors import Refusal
from tests.small_site import make_plan

COST, CAP = 2.0, 10.0
PLANS = [make_plan(run_id=f"run{number}") for number in range(12)]


@pytest.fixture(autouse=True)
def cheap_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.ledger.epsilon", lambda events, delta: COST)


def new(path: Path) -> Ledger:
    return Ledger.create(path, "north", "user", Budget(epsilon=CAP, delta=1e-3))


def started(work: Callable[[], int]) -> int:
    """A child process that ends with what `work` returns."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return child


def next_code(children: set[int]) -> int:
    """The exit code of the next of these to end, and of no child that another test left behind."""
    while True:
        for child in children:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                children.remove(child)
                return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)


def opened_by(path: Path, gates: int) -> list[int]:
    """So many processes open the ledger at once: 0 for each that had it, 1 for each told another has."""
    go, going = os.pipe()
    hold, holding = os.pipe()

    def work() -> int:
        os.close(going)
        os.close(holding)
        os.read(go, 1)  # until the parent closes its end
        try:
            ledger = Ledger.open(path)
        except Refusal as refusal:
            return 1 if str(refusal) == f"ledger {path} is open in another gate: stop that one first" else 2
        os.read(hold, 1)
        ledger.close()
        return 0

    children = {started(work) for _ in range(gates)}
    os.close(going)
    codes = [next_code(children) for _ in range(gates - 1)]
    with Ledger.read(path) as reader:  # looking is not disturbed by who holds it
        assert reader.site == "north"
    os.close(holding)
    codes.append(next_code(children))
    os.close(go)
    os.close(hold)
    return sorted(codes)


def test_of_a_hundred_gates_on_one_ledger_one_opens(tmp_path: Path) -> None:
    new(tmp_path / "l").close()
    assert opened_by(tmp_path / "l", 100) == [0] + [1] * 99
    Ledger.open(tmp_path / "l").close()


def reserve_in_turn(path: Path, number: int) -> int:
    """Wait for the ledger, reserve one plan; 0 if it fitted."""
    while True:
        try:
            with Ledger.open(path) as ledger:
                ledger.reserve(PLANS[number], b"")
                return 0
        except Refusal as refusal:
            if refusal.code == "BUDGET_EXHAUSTED":
                return 1
            time.sleep(0.005)


def test_plans_from_many_processes_never_sum_past_the_budget(tmp_path: Path) -> None:
    path = tmp_path / "l"
    new(path).close()
    children = {started(partial(reserve_in_turn, path, number)) for number in range(len(PLANS))}
    codes = [next_code(children) for _ in PLANS]
    assert sorted(codes) == [0] * 5 + [1] * 7
    with Ledger.read(path) as ledger:
        assert ledger.accounts.reserved().epsilon == CAP


def reserved_from_threads(path: Path) -> float:
    together = threading.Barrier(len(PLANS))
    with new(path) as ledger:

        def reserve(number: int) -> None:
            together.wait()
            try:
                ledger.reserve(PLANS[number], b"")
            except Refusal:
                return

        threads = [threading.Thread(target=reserve, args=(number,)) for number in range(len(PLANS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return ledger.accounts.reserved().epsilon


def test_plans_from_many_threads_never_sum_past_the_budget(tmp_path: Path) -> None:
    assert reserved_from_threads(tmp_path / "l") == CAP


def test_control_without_the_rule_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accounts, "require_room", lambda self, epsilon, delta: None)
    assert reserved_from_threads(tmp_path / "l") == COST * len(PLANS)


def test_control_without_the_lock_several_gates_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new(tmp_path / "l").close()
    real = Book.__init__
    monkeypatch.setattr(Book, "__init__", lambda self, path, key, gate: real(self, path, key, False))
    first, second = Ledger.open(tmp_path / "l"), Ledger.open(tmp_path / "l")
    first.close()
    second.close()
