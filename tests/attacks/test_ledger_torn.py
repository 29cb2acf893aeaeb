"""T10: the write-ahead log torn, cut or overwritten at its end: the last commit, or none of it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.ledger import Budget, Ledger
from tests.attacks.test_ledger_crash import ARRAYS, BIG, PLAN, ROUNDS, fresh, query_of


@pytest.fixture(autouse=True)
def cheap_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.ledger.epsilon", lambda events, delta: 1.0)


def states(folder: Path) -> Iterator[tuple[Path, int, int, int]]:
    """The files at one moment, the log's lengths before and after its last commit, and the charges then."""
    path = folder / "north.sqlite"
    log = path.with_name(f"{path.name}-wal")
    with Ledger.create(path, "north", "user", Budget(epsilon=10.0, delta=1e-3)) as ledger:
        ledger.reserve(PLAN, ARRAYS)
        for round in range(1, ROUNDS + 1):
            before = log.stat().st_size
            charge = ledger.charge(*query_of(round), PLAN.event())
            yield path, before, log.stat().st_size, round
            ledger.store(charge, os.urandom(BIG))


def copied(path: Path, folder: Path) -> Path:
    """The ledger's files as they are on disk now."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for suffix in ("", "-wal", ".key"):
        shutil.copy(f"{path}{suffix}", f"{folder / path.name}{suffix}")
    return folder / path.name


def test_a_torn_end_of_the_log_is_the_last_commit_or_none_of_it(tmp_path: Path) -> None:
    """A commit that was being written when the machine stopped was not answered yet: both states are true."""
    chance = random.Random(0)
    for path, before, after, round in states(fresh(tmp_path)):
        assert after > before
        for harm in range(24):
            copy = copied(path, tmp_path / "copy")
            with Path(f"{copy}-wal").open("r+b") as log:
                place = chance.randrange(before, after)
                if harm % 2:
                    log.truncate(place)
                else:
                    log.seek(place)
                    log.write(chance.randbytes(after - place))
            with Ledger.open(copy) as ledger:
                charged = sum(event.count for event in ledger.events())
                assert charged in (round - 1, round)


def test_control_a_log_cut_further_back_loses_answered_charges(tmp_path: Path) -> None:
    """No crash does that, a restored backup does: which is why heads are witnessed (test_ledger_tamper)."""
    lengths = []
    for path, _, after, round in states(fresh(tmp_path)):
        lengths.append(after)
        if round == ROUNDS:
            copy = copied(path, tmp_path / "copy")
            os.truncate(f"{copy}-wal", lengths[0])
            with Ledger.open(copy) as ledger:
                assert sum(event.count for event in ledger.events()) == 1 < round - 1
