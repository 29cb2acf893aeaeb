"""Who may open a ledger, and when: one gate, any number of readers, none without the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.ledger import Ledger
from common.errors import InputError, Refusal, RefusalCode
from tests.client.test_ledger import code, query_of
from tests.small_site import make_plan, new_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "north.sqlite"


def test_ledger_and_key_are_their_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with new_ledger(path):
            files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(files) >= {"north.sqlite", "north.sqlite.key", "north.sqlite-wal"}
    assert set(files.values()) == {0o600}


def test_a_ledger_has_one_gate_and_any_number_of_readers(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as gate:
        gate.reserve(plan, b"")
        with pytest.raises(Refusal) as caught:
            Ledger.open(path)
        assert str(caught.value) == f"ledger {path} is open in another gate: stop that one first"
        gate.charge(*query_of(plan, 1), plan.event())
        for _ in range(3):
            with Ledger.read(path) as reader:
                assert reader.events() == [plan.event()] and reader.entries() == gate.entries()
                for call in (lambda: reader.reserve(plan, b""), lambda: reader.withdraw("Ann")):
                    with pytest.raises((Refusal, InputError)):
                        call()
        gate.charge(*query_of(plan, 2), plan.event())
    Ledger.open(path).close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["north.sqlite", "north.sqlite.key"]


def test_a_gate_that_rests_leaves_the_ledger_and_takes_it_back(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as one:
        one.reserve(plan, b"")
        one.rest()
        with Ledger.open(path) as two:
            two.store(two.charge(*query_of(plan, 1), plan.event()), b"two")
            two.rest()
            assert one.charge(*query_of(plan, 1), plan.event()).payload == b"two"
            one.rest()
            two.charge(*query_of(plan, 2), plan.event())
            two.rest()
        assert one.charge(*query_of(plan, 2), plan.event()).id == 2
        assert one.events() == [plan.spent(2)]


def test_a_gate_without_its_key_or_with_another_does_not_open(path: Path, tmp_path: Path) -> None:
    new_ledger(path).close()
    new_ledger(tmp_path / "other").close()
    key = path.with_name(f"{path.name}.key")
    kept = key.read_bytes()
    for content in (b"", (tmp_path / "other.key").read_bytes(), None):
        key.unlink()
        if content is not None:
            key.write_bytes(content)
        with pytest.raises(Refusal) as caught:
            Ledger.open(path)
        assert code(caught) is RefusalCode.UNAVAILABLE and "key" in str(caught.value)
    key.write_bytes(kept)
    Ledger.open(path).close()
