"""The ledger: reserved before, charged first, written once, refused past the budget, never made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.ledger import Budget, Ledger
from common.accounting import epsilon
from common.errors import InputError, Refusal, RefusalCode
from common.plan import Plan
from common.query import Query
from tests.small_site import ask, make_plan, make_state, new_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "north.sqlite"


def cost(plan: Plan) -> float:
    return epsilon([plan.reserved()], plan.delta)


def code(caught: pytest.ExceptionInfo[Refusal]) -> RefusalCode:
    return caught.value.code


def query_of(plan: Plan, round: int, scale: float = 0.3) -> tuple[Query, str]:
    query = ask(plan, make_state(plan, round, scale))
    return query, query.digest(plan.trust)


def test_a_plan_is_reserved_whole_and_once(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path, epsilon=1.5 * cost(plan)) as ledger:
        ledger.reserve(plan, b"")
        ledger.reserve(plan, b"")
        with pytest.raises(Refusal) as caught:
            ledger.reserve(make_plan(run_id="second"), b"")
        assert code(caught) is RefusalCode.BUDGET_EXHAUSTED


def test_plans_under_other_run_names_add_up_in_epsilon_and_delta(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path, epsilon=2.000001 * cost(plan), delta=2e-5) as ledger:
        ledger.reserve(plan, b"")
        ledger.reserve(make_plan(run_id="second"), b"")
        tiny = make_plan(run_id="third", noise_multiplier=1e6)
        with pytest.raises(Refusal) as caught:
            ledger.reserve(tiny, b"")  # nearly free in epsilon, not in delta
        assert code(caught) is RefusalCode.BUDGET_EXHAUSTED


def test_a_run_cannot_change_its_plan(path: Path) -> None:
    with new_ledger(path) as ledger:
        ledger.reserve(make_plan(), b"")
        for change in ({"clip_norm": 5.0}, {"noise_multiplier": 0.5}, {"sampling_rate": 1.0}, {"rounds": 9}):
            with pytest.raises(Refusal) as caught:
                ledger.reserve(make_plan(**change), b"")
            assert code(caught) is RefusalCode.POLICY


def test_a_plan_for_another_unit_is_refused(path: Path) -> None:
    with new_ledger(path) as ledger, pytest.raises(Refusal) as caught:
        ledger.reserve(make_plan(unit="record"), b"")
    assert code(caught) is RefusalCode.POLICY


def test_a_cost_that_is_not_a_number_does_not_fit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.ledger.epsilon", lambda events, delta: float("nan"))
    with new_ledger(path) as ledger, pytest.raises(Refusal) as caught:
        ledger.reserve(make_plan(), b"")
    assert code(caught) is RefusalCode.BUDGET_EXHAUSTED


def test_a_plan_without_noise_fits_an_infinite_budget_only(path: Path, tmp_path: Path) -> None:
    plan = make_plan(noise_multiplier=0.0)
    with new_ledger(path, epsilon=1e9) as ledger, pytest.raises(Refusal) as caught:
        ledger.reserve(plan, b"")
    assert code(caught) is RefusalCode.BUDGET_EXHAUSTED
    with new_ledger(tmp_path / "other", epsilon=float("inf")) as ledger:
        ledger.reserve(plan, b"")


def test_no_more_is_charged_than_was_reserved(path: Path) -> None:
    plan = make_plan(rounds=3)
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        for scale in (0.1, 0.2, 0.3):  # the same round with another state each time
            ledger.charge(*query_of(plan, 1, scale), plan.event())
        with pytest.raises(Refusal) as caught:
            ledger.charge(*query_of(plan, 2), plan.event())
        assert code(caught) is RefusalCode.BUDGET_EXHAUSTED
        assert ledger.events() == [plan.reserved()]


def test_an_event_other_than_the_plans_is_refused(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        with pytest.raises(Refusal):
            ledger.charge(*query_of(plan, 1), make_plan(noise_multiplier=9.0).event())


def test_the_latest_query_gets_its_bytes_and_older_ones_are_stale(path: Path) -> None:
    plan = make_plan()
    first, second = query_of(plan, 1), query_of(plan, 2)
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        charge = ledger.charge(*first, plan.event())
        ledger.store(charge, b"one")
        assert ledger.charge(*first, plan.event()).payload == b"one"
        ledger.store(ledger.charge(*second, plan.event()), b"two")
        with pytest.raises(Refusal) as caught:
            ledger.charge(*first, plan.event())
        assert code(caught) is RefusalCode.STALE
        with pytest.raises(Refusal) as caught:
            ledger.charge(*query_of(plan, 1, 0.7), plan.event())  # an older round with another state
        assert code(caught) is RefusalCode.STALE
        assert ledger.events() == [plan.spent(2)]


def test_a_charge_without_bytes_serves_once_more(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        charge = ledger.charge(*query_of(plan, 1), plan.event())
    with Ledger.open(path) as ledger:
        again = ledger.charge(*query_of(plan, 1), plan.event())
        assert (again.id, again.payload) == (charge.id, None)
        assert ledger.events() == [plan.event()]


def test_a_charge_is_answered_once_however_many_answer_it(path: Path) -> None:
    """Two gates charge the same query; the slower one finds it answered, even after a later round."""
    plan = make_plan()
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        slow = ledger.charge(*query_of(plan, 1), plan.event())
        quick = ledger.charge(*query_of(plan, 1), plan.event())
        assert slow == quick
        ledger.store(quick, b"quick")
        with pytest.raises(Refusal) as caught:
            ledger.store(slow, b"slow")
        assert code(caught) is RefusalCode.UNAVAILABLE
        ledger.charge(*query_of(plan, 2), plan.event())  # replaces the stored bytes
        with pytest.raises(Refusal):
            ledger.store(slow, b"slow")


def test_replaced_bytes_are_gone_from_the_file(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        ledger.store(ledger.charge(*query_of(plan, 1), plan.event()), b"first release " * 2000)
        ledger.charge(*query_of(plan, 2), plan.event())
    assert b"first release" not in path.read_bytes()


def test_an_unknown_plan_is_refused(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as ledger:
        for call in (lambda: ledger.plan("0" * 64), lambda: ledger.charge(*query_of(plan, 1), plan.event())):
            with pytest.raises(Refusal) as caught:
                call()
            assert code(caught) is RefusalCode.UNKNOWN_PLAN


def test_the_kept_plan_is_the_accepted_plan(path: Path) -> None:
    plan = make_plan(clip_norm=0.1 + 0.2, delta=1 / 3e5)
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"arrays")
    with Ledger.open(path) as ledger:
        kept, arrays = ledger.plan(plan.digest())
    assert (kept.digest(), arrays) == (plan.digest(), b"arrays")
    assert not list(path.parent.glob("*-wal"))


def test_a_missing_foreign_or_damaged_ledger_is_refused_and_never_made(path: Path) -> None:
    for content in (None, b"", b"not a database" * 100):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(Refusal) as caught:
            Ledger.open(path)
        assert code(caught) is RefusalCode.UNAVAILABLE
        assert (path.read_bytes() if path.exists() else None) == content


def test_a_missing_ledger_names_the_way_out(path: Path) -> None:
    """To who never made one, that command; where a key lies without its ledger, the backup alone."""
    with pytest.raises(Refusal, match="fedmotion ledger init"):
        Ledger.open(path)
    new_ledger(path).close()
    path.unlink()
    with pytest.raises(Refusal, match=r"restore it from its backup$"):
        Ledger.open(path)


def test_a_ledger_is_never_made_over_an_old_or_a_lost_one(path: Path) -> None:
    new_ledger(path).close()
    for lost in (False, True):
        if lost:
            path.unlink()
        with pytest.raises(InputError):
            Ledger.create(path, "north", "user", Budget(epsilon=1e9, delta=0.5))


def test_a_ledger_needs_a_name_that_can_stand_in_a_log(path: Path) -> None:
    for name in ("", "a b", "x\ny", "é", "x" * 65):
        with pytest.raises(InputError):
            Ledger.create(path, name, "user", Budget(epsilon=1.0, delta=1e-5))
    assert not list(path.parent.iterdir())


def test_what_leaves_the_site_counts_nothing_else(path: Path) -> None:
    """Number of the charge and head of one run are the same whatever other runs and withdrawals there are."""
    plan, other = make_plan(), make_plan(run_id="other", noise_multiplier=9.0)
    with new_ledger(path) as ledger:
        ledger.reserve(other, b"")
        ledger.store(ledger.charge(*query_of(other, 1), other.event()), b"x")
        ledger.reserve(plan, b"")
        first = ledger.charge(*query_of(plan, 1), plan.event())
        ledger.store(first, b"y")
        shown = ledger.head(plan.digest())
        ledger.withdraw("Ann")
        ledger.charge(*query_of(other, 2), other.event())
        assert first.id == 1
        assert ledger.head(plan.digest()) == shown and shown.signed_by(ledger.key, "north")


def full(ledger: Ledger) -> None:
    pages = ledger._book.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._book.connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_refuses_and_keeps_what_was_charged(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        charge = ledger.charge(*query_of(plan, 1), plan.event())
        full(ledger)
        with pytest.raises(Refusal) as caught:
            ledger.store(charge, bytes(10**6))
        assert code(caught) is RefusalCode.UNAVAILABLE
        assert ledger.events() == [plan.event()]
        with pytest.raises(Refusal) as caught:
            ledger.reserve(make_plan(run_id="other"), bytes(10**6))
        assert code(caught) is RefusalCode.UNAVAILABLE
    with Ledger.open(path) as ledger:
        assert ledger.charge(*query_of(plan, 1), plan.event()).payload is None


def test_a_ledger_that_cannot_be_written_charges_nothing(path: Path) -> None:
    plan = make_plan()
    with new_ledger(path) as ledger:
        ledger.reserve(plan, b"")
        ledger._book.connection.execute("PRAGMA query_only = ON")
        with pytest.raises(Refusal) as caught:
            ledger.charge(*query_of(plan, 1), plan.event())
        assert code(caught) is RefusalCode.UNAVAILABLE
        assert ledger.events() == []
