"""A ledger that is taken away, before a site starts or under it: no release without a charge that stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from client.ledger import Ledger
from common.errors import Refusal, RefusalCode
from tests.small_site import ask, crowd, make_gate, make_plan, make_state, new_ledger

PLAN = make_plan()
STATES = [make_state(PLAN, round) for round in (1, 2)]


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """With a new one, of a full budget, as a restored backup of last year would be."""
    other = path.with_name("other.sqlite")
    new_ledger(other).close()
    os.replace(other, path)


def delete_log(path: Path) -> None:
    """The write-ahead log holds what was charged since the last checkpoint."""
    path.with_name(f"{path.name}-wal").unlink()


def replace_log(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    other = path.with_name("other")
    other.write_bytes(log.read_bytes())
    os.replace(other, log)


THEFTS: list[Callable[[Path], None]] = [delete, replace, delete_log, replace_log]


def check_nothing_leaves_after(theft: Callable[[Path], None], folder: Path) -> None:
    """Round 1 is answered, the ledger is taken, and round 2 is refused."""
    path = folder / "north.sqlite"
    ledger = new_ledger(path)
    try:
        gate = make_gate(ledger, crowd(3))
        gate.accept(PLAN, {})
        gate.release(ask(PLAN, STATES[0]), STATES[0])
        theft(path)
        for state in (STATES[1], STATES[1]):
            code = None
            try:
                gate.release(ask(PLAN, state), state)
            except Refusal as refusal:
                code = refusal.code
            assert code is RefusalCode.UNAVAILABLE, f"a release left though the ledger is gone ({theft})"
    finally:
        ledger.close()


@pytest.mark.parametrize("theft", THEFTS, ids=lambda theft: theft.__name__)
def test_a_ledger_taken_away_while_open_stops_the_site(theft: Callable[[Path], None], tmp_path: Path) -> None:
    check_nothing_leaves_after(theft, tmp_path)


def test_a_ledger_taken_between_charge_and_answer_stops_that_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "north.sqlite"
    real = Ledger.store

    def late(self: Ledger, *arguments: object) -> None:
        path.unlink()
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "store", late)
    with new_ledger(path) as ledger:
        gate = make_gate(ledger, crowd(3))
        gate.accept(PLAN, {})
        with pytest.raises(Refusal) as caught:
            gate.release(ask(PLAN, STATES[0]), STATES[0])
        assert caught.value.code is RefusalCode.UNAVAILABLE


def test_a_log_taken_before_the_first_charge_stops_the_site(tmp_path: Path) -> None:
    path = tmp_path / "north.sqlite"
    new_ledger(path).close()
    with Ledger.open(path) as ledger:
        gate = make_gate(ledger, crowd(3))
        delete_log(path)
        with pytest.raises(Refusal) as caught:
            gate.accept(PLAN, {})
        assert caught.value.code is RefusalCode.UNAVAILABLE


def check_a_missing_ledger_stays_missing(folder: Path) -> None:
    path = folder / "gone.sqlite"
    try:
        Ledger.open(path).close()
    except Refusal as refusal:
        assert refusal.code is RefusalCode.UNAVAILABLE
    assert not path.exists(), "a missing ledger was made anew, with its whole budget"


def test_a_missing_ledger_is_refused_and_not_made_anew(tmp_path: Path) -> None:
    check_a_missing_ledger_stays_missing(tmp_path)
