"""T11: yesterday's ledger is found out at the next contact, by a head that its coordinator has seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.accounts import Account
from client.ledger import Ledger
from common.errors import Refusal, RefusalCode
from common.plan import Plan
from common.signing import public_name
from common.witness import Witness
from tests.attacks.test_ledger_tamper import KEY, PLAN, new, paid, refused
from tests.small_site import ask, crowd, make_gate, make_plan, make_state


@pytest.fixture(autouse=True)
def cheap_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.ledger.epsilon", lambda events, delta: 2.0)


def countersigned(ledger: Ledger, plan: Plan) -> Witness:
    return Witness.countersign(KEY, plan.digest(), "north", ledger.head(plan.digest()))


def yesterday(folder: Path, day: Callable[[Ledger], object]) -> tuple[Path, Witness]:
    """A ledger put back from a backup made before `day`, and what the coordinator had seen by its end."""
    folder.mkdir()
    path = folder / "north.sqlite"
    with new(path) as ledger:
        ledger.reserve(PLAN, b"")
        paid(ledger, PLAN, 1)
    backup = path.read_bytes()
    with Ledger.open(path) as ledger:
        day(ledger)
        seen = countersigned(ledger, PLAN)
    path.write_bytes(backup)
    assert refused(path) is None, "an older state is whole in itself"
    return path, seen


def test_yesterdays_ledger_is_refused_at_the_next_contact_before_anything_is_charged(tmp_path: Path) -> None:
    path, seen = yesterday(tmp_path / "site", lambda ledger: paid(ledger, PLAN, 2))
    with Ledger.open(path) as ledger:
        before = ledger.entries()
        for _ in range(2):
            with pytest.raises(Refusal) as caught:
                paid(ledger, PLAN, 3, seen)
            assert caught.value.code is RefusalCode.ROLLED_BACK and "older backup" in str(caught.value)
        assert ledger.entries() == before


def test_a_ledger_replaced_while_its_gate_is_open_is_refused(tmp_path: Path) -> None:
    with new(tmp_path / "north.sqlite") as ledger:
        ledger.reserve(PLAN, b"")
        other = tmp_path / "other"
        shutil.copy(ledger.path, other)
        other.replace(ledger.path)
        with pytest.raises(Refusal) as caught:
            paid(ledger, PLAN, 1)
        assert "another file was put in its place" in str(caught.value)


def test_through_the_gate_a_witness_changes_no_answer_and_a_lost_one_no_charge(tmp_path: Path) -> None:
    state = make_state(PLAN, 1)
    with new(tmp_path / "north.sqlite") as ledger:
        gate = make_gate(ledger, crowd(4))
        acceptance = gate.accept(PLAN, {})
        assert acceptance.head is not None and acceptance.head.signed_by(acceptance.site_key, "north")
        early = countersigned(ledger, PLAN)
        first = gate.release(ask(PLAN, state, witness=early), state)
        assert first.head is not None and first.head.hash != early.head
        late = Witness.countersign(KEY, PLAN.digest(), "north", first.head)
        again = gate.release(ask(PLAN, state, witness=late), state)
        assert (again.charge, again.head) == (first.charge, first.head)
        assert again.total.equal(first.total)
        assert ledger.events() == [PLAN.event()]
        second = make_state(PLAN, 2)
        gate.release(ask(PLAN, second, witness=early), second)  # a coordinator that lost its newest witness


def other_plans(ledger: Ledger) -> Witness:
    second = make_plan(run_id="second", coordinator_key=public_name(KEY))
    ledger.reserve(second, b"")
    return Witness.countersign(KEY, PLAN.digest(), "north", ledger.head(second.digest()))


def forged(ledger: Ledger) -> Witness:
    other = Ed25519PrivateKey.generate()
    return Witness.countersign(other, PLAN.digest(), "north", ledger.head(PLAN.digest()))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (forged, RefusalCode.MALFORMED),
        (lambda ledger: replace(countersigned(ledger, PLAN), signature="0" * 128), RefusalCode.MALFORMED),
        (lambda ledger: replace(countersigned(ledger, PLAN), head="0" * 64), RefusalCode.MALFORMED),
        (
            lambda ledger: Witness.countersign(KEY, "other", "north", ledger.head(PLAN.digest())),
            RefusalCode.MALFORMED,
        ),
        (
            lambda ledger: Witness.countersign(KEY, PLAN.digest(), "south", ledger.head(PLAN.digest())),
            RefusalCode.MALFORMED,
        ),
        (other_plans, RefusalCode.ROLLED_BACK),  # a coordinator learns nothing of another one's heads
    ],
    ids=[
        "another key",
        "no signature",
        "another head",
        "another plan",
        "another site",
        "another plan's head",
    ],
)
def test_a_witness_that_is_not_the_coordinators_own_is_refused(
    tmp_path: Path, make: Callable[[Ledger], Witness], code: RefusalCode
) -> None:
    with new(tmp_path / "north.sqlite") as ledger:
        ledger.reserve(PLAN, b"")
        with pytest.raises(Refusal) as caught:
            paid(ledger, PLAN, 1, make(ledger))
        assert caught.value.code is code
        assert ledger.events() == []


def test_control_without_the_witness_yesterdays_ledger_pays_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = yesterday(tmp_path / "site", lambda ledger: paid(ledger, PLAN, 2))
    monkeypatch.setattr(Account, "require_witnessed", lambda self, query, site: None)
    with Ledger.open(path) as ledger:
        paid(ledger, PLAN, 2, seen)  # another release of the same round for the same charge
        assert ledger.events() == [PLAN.spent(2)]
