"""T17: who has withdrawn is never drawn again, whatever is restarted or restored; nobody else is moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from client.datasets import DataOptions, open_data_set
from client.ledger import Ledger
from client.mechanism import SampledGaussian
from client.users import Share, Users, load_users
from client.withdrawal import Tombstones
from common.noise import Source
from common.parcel import joined_of
from common.query import Release
from common.wire import encode_release
from tests.small_site import ask, crowd, make_gate, make_plan, make_state, new_ledger

PEOPLE = 6
SILENT = make_plan(noise_multiplier=0.0, sampling_rate=1.0, rounds=20)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path / "north.sqlite", epsilon=math.inf, delta=0.5) as ledger:
        yield ledger


def released(ledger: Ledger, round: int, users: Users, seed: int | None = 1) -> Release:
    gate = make_gate(ledger, users, seed=seed)
    gate.accept(SILENT, {})
    state = make_state(SILENT, round)
    return gate.release(ask(SILENT, state), state)


def without(name: str) -> Users:
    """The crowd in which `name` has data that contribute nothing: the same places, one person silent."""
    users = crowd(PEOPLE)
    at = users.names.index(name)
    first, last = users._starts[at : at + 2].tolist()
    users._raw[first:last] = float("nan")
    return users


def test_a_withdrawn_person_is_in_none_of_ten_thousand_draws(ledger: Ledger) -> None:
    users, plan = crowd(PEOPLE), make_plan(sampling_rate=0.5)
    mechanism = SampledGaussian(plan=plan, site="north", source=Source())
    ledger.withdraw("person2")
    users.exclude(ledger.tombstones())
    times = np.zeros(PEOPLE)
    for _ in range(10_000):
        times[users.present(mechanism.sample(len(users), 1, 0))] += 1
    assert times[2] == 0
    others = np.delete(times, 2)
    assert (abs(others - 5000) < 5 * math.sqrt(2500)).all(), "everybody else is drawn as before"


def same(one: Release, other: Release) -> bool:
    return bool(torch.allclose(one.total, other.total, atol=1e-6))


def test_the_release_is_as_if_the_person_contributed_nothing(ledger: Ledger, tmp_path: Path) -> None:
    with new_ledger(tmp_path / "other.sqlite", epsilon=math.inf, delta=0.5) as other:
        whole, silent = released(other, 1, crowd(PEOPLE)), released(other, 2, without("person2"))
    ledger.withdraw("person2")
    assert not same(released(ledger, 1, crowd(PEOPLE)), whole)
    assert same(released(ledger, 2, crowd(PEOPLE)), silent)


def test_control_without_the_exclusion_the_person_is_in(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Users, "present", lambda self, drawn: list(drawn))
    with new_ledger(tmp_path / "other.sqlite", epsilon=math.inf, delta=0.5) as other:
        whole = released(other, 1, crowd(PEOPLE))
    ledger.withdraw("person2")
    assert same(released(ledger, 1, crowd(PEOPLE)), whole)


def test_a_withdrawal_beside_a_running_gate_holds_from_its_next_round(tmp_path: Path) -> None:
    with new_ledger(tmp_path / "other.sqlite", epsilon=math.inf, delta=0.5) as other:
        whole, silent = released(other, 1, crowd(PEOPLE)), released(other, 2, without("person2"))
    path = tmp_path / "north.sqlite"
    with new_ledger(path, epsilon=math.inf, delta=0.5) as ledger:
        gate = make_gate(ledger, crowd(PEOPLE), seed=1)
        gate.accept(SILENT, {})
        states = [make_state(SILENT, round) for round in (1, 2)]
        first = gate.release(ask(SILENT, states[0]), states[0])
        with Ledger.beside(path) as beside:
            beside.withdraw("person2")
        again = gate.release(ask(SILENT, states[0]), states[0])  # sent before: the same to the bit
        second = gate.release(ask(SILENT, states[1]), states[1])
        assert torch.equal(first.total, again.total) and same(first, whole) and same(second, silent)
    with Ledger.read(path) as reader:
        assert len(reader.accounts.withdrawals) == 1


def test_the_tombstone_survives_deleted_and_restored_data_and_every_restart(tmp_path: Path) -> None:
    path = tmp_path / "north.sqlite"
    with new_ledger(tmp_path / "other.sqlite", epsilon=math.inf, delta=0.5) as other:
        silent = [released(other, round, without("person2")) for round in (1, 2, 3)]
    with new_ledger(path, epsilon=math.inf, delta=0.5) as ledger:
        ledger.withdraw("person2")
    for round, _ in enumerate(silent, start=1):
        with Ledger.open(path) as ledger:
            data = crowd(2) if round == 2 else crowd(PEOPLE)  # deleted, then put back from yesterday's backup
            found = released(ledger, round, data)
            assert round == 2 or same(found, silent[round - 1])


def test_a_withdrawal_refunds_nothing_and_is_recorded_once(ledger: Ledger) -> None:
    released(ledger, 1, crowd(PEOPLE))
    before = ledger.accounts.reserved(), ledger.events()
    record, new = ledger.withdraw("person2")
    again, news = ledger.withdraw("person2")
    assert (new, news) == (True, False) and record == again
    assert (ledger.accounts.reserved(), ledger.events()) == before
    assert record.affected == {"run": 1}
    assert ledger.withdraw("nobody ever")[1], "also whose data are deleted already"


def test_names_that_look_the_same_are_the_same_and_are_nowhere_in_the_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.withdraw("Zo\u00eb Withdrawn")
    assert "Zoe\u0308 Withdrawn" in ledger.tombstones() and "Zoe Withdrawn" not in ledger.tombstones()
    with new_ledger(tmp_path / "south.sqlite") as south:
        assert south.withdraw("Zo\u00eb Withdrawn")[0].mark not in ledger.tombstones().marks
    ledger.close()
    content = ledger.path.read_bytes()
    assert b"Withdrawn" not in content


def test_nothing_of_a_withdrawal_leaves_the_site(tmp_path: Path) -> None:
    """Message, head and number of a round are of one form and tell neither mark nor count."""
    sizes = set()
    for name, people in (("a", 0), ("b", 3)):
        with new_ledger(tmp_path / name, epsilon=math.inf, delta=0.5) as ledger:
            marks = [ledger.withdraw(f"person{number}")[0].mark for number in range(people)]
            release = released(ledger, 1, crowd(PEOPLE))
            content = encode_release(release)
            said = content.config_records["header"]["body"]
            assert isinstance(said, bytes)
            assert not any(mark.encode() in said for mark in marks)
            assert release.charge == 1
            sizes.add((len(said), len(joined_of(content))))
    assert len(sizes) == 1


def all_units(unit: Any) -> Users:
    data = open_data_set(None, DataOptions(people=5, motions=3))
    return load_users(data, Share(seed=0, start=0.0, stop=1.0), unit)


@pytest.mark.parametrize(("unit", "count"), [("user", 1), ("record", 3)])
def test_all_records_of_the_person_are_left_out(ledger: Ledger, unit: str, count: int) -> None:
    users = all_units(unit)
    ledger.withdraw("p000003")
    users.exclude(ledger.tombstones())
    left = set(range(len(users))) - set(users.present(range(len(users))))
    assert {users.persons[u] for u in left} == {"p000003"} and len(left) == count
    users.exclude(Tombstones())
    assert users.present(range(len(users))) == list(range(len(users)))


def central_twice(path: Path) -> tuple[Release, Release]:
    """A round under central trust, and its repeat after a withdrawal: the sum is made again, not kept."""
    plan = make_plan(trust="central", sampling_rate=1.0)
    state = make_state(plan, 1)
    with new_ledger(path, epsilon=math.inf, delta=0.5) as ledger:
        gate = make_gate(ledger, crowd(PEOPLE))
        gate.accept(plan, {})
        first = gate.release(ask(plan, state), state)
        ledger.withdraw("person2")
        return first, gate.release(ask(plan, state), state)


def test_under_central_trust_a_repeat_is_the_same_though_someone_withdrew_since(tmp_path: Path) -> None:
    """Else the difference of two answers under one charge would be the person's contribution, bare."""
    first, again = central_twice(tmp_path / "l")
    assert torch.equal(first.total, again.total)


def test_control_with_the_newest_tombstones_the_repeat_tells_the_person_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tombstones, "first", lambda self, count: self)
    first, again = central_twice(tmp_path / "l")
    assert not torch.equal(first.total, again.total)
