"""The messenger: an acceptance, a release or a fixed code and not a byte more, whatever happens behind it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict

import client.app
from client.door import Door
from client.ledger import Ledger
from client.users import Users
from common.errors import Refusal, RefusalCode
from common.parcel import arrays_of, unfolded
from common.plan import Plan
from common.query import Acceptance, Release
from common.wire import decode_acceptance, decode_release, encode_plan, encode_query
from simulations.grid import InProcessGrid
from tests.small_site import as_sent, ask, crowd, make_gate, make_plan, make_state, make_users, new_ledger

PLAN = make_plan()
STATE = make_state(PLAN, 1)
QUERY = ask(PLAN, STATE)


def site_file(folder: Path) -> Path:
    file = folder / "sites" / "north.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[[Any], InProcessGrid]]:
    """Put a gate behind the ClientApp and get the grid that reaches it."""
    file = site_file(tmp_path)

    def put(gate: Any) -> InProcessGrid:
        client.app.resident[file] = Door(gate)
        return InProcessGrid(client.app.app, 1, {"run-dir": str(tmp_path)})

    yield put
    client.app.resident.pop(file, None)


def send(grid: InProcessGrid, content: RecordDict, kind: str) -> Message:
    (reply,) = grid.send_and_receive([Message(as_sent(content), 2, kind)])
    return reply


def seen(reply: Message) -> tuple[Any, ...]:
    """All that a coordinator can read of a reply, but for its clock and numbers."""
    content = unfolded(reply.content)
    records = {name: dict(record) for name, record in content.config_records.items()}
    arrays = {name: {k: a.data for k, a in record.items()} for name, record in content.array_records.items()}
    return records, arrays, dict(content.metric_records), reply.has_error()


class Failing:
    """A gate that fails in its own words."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def accept(self, plan: Plan, arrays: Any) -> Acceptance:
        raise self.error

    def release(self, query: Any, state: Any, shares: Any = ()) -> Release:
        raise self.error

    def rest(self) -> None:
        """Holds nothing."""

    def close(self) -> None:
        """Holds nothing."""


MESSAGES = {
    "query.plan": encode_plan(PLAN, {}),
    "train": encode_query(QUERY, STATE),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_gate_that_fails_says_one_code_whatever_its_words(install: Any, kind: str) -> None:
    errors = [
        ValueError("Ann, 7 windows, loss 0.3"),
        MemoryError(),
        ZeroDivisionError("eve"),
        OSError(28, "full"),
    ]
    replies = {repr(seen(send(install(Failing(error)), MESSAGES[kind], kind))) for error in errors}
    assert len(replies) == 1
    assert "UNAVAILABLE" in replies.pop()


@pytest.mark.parametrize(("kind", "code"), list(itertools.product(MESSAGES, RefusalCode)))
def test_a_refusal_says_its_code_and_not_its_reason(install: Any, kind: str, code: RefusalCode) -> None:
    replies = {
        repr(seen(send(install(Failing(Refusal(code, reason))), MESSAGES[kind], kind)))
        for reason in ("", "Ann has no windows", "x" * 1000)
    }
    assert len(replies) == 1
    assert "Ann" not in replies.pop()


def corrupt() -> list[RecordDict]:
    header = MESSAGES["train"].config_records["header"]
    return [
        RecordDict(),
        RecordDict({"message": ConfigRecord({"kind": "Query", "people": 7})}),
        RecordDict({"header": ConfigRecord({"kind": "Query", "body": b"\xff\xff"})}),
        RecordDict({"header": header}),
        RecordDict({"header": ConfigRecord({"kind": "Elephant", "body": b""})}),
    ]


@pytest.mark.parametrize("kind", MESSAGES)
def test_corrupt_messages_all_get_the_same_reply(install: Any, tmp_path: Path, kind: str) -> None:
    with new_ledger(tmp_path / "north.sqlite") as ledger:
        grid = install(make_gate(ledger, crowd(3)))
        replies = {repr(seen(send(grid, content, kind))) for content in corrupt()}
        assert len(replies) == 1
        assert "MALFORMED" in replies.pop()
        assert ledger.events() == []


def nobody() -> Users:
    return crowd(0)


def broken() -> Users:
    users = crowd(6)
    users._raw[:] = float("nan")
    return users


def raising() -> Users:
    users = crowd(6)
    users._raw = users._raw[:, :5]
    return users


def huge() -> Users:
    users = make_users({f"p{i}": 60 for i in range(40)})
    users._raw *= 1e30
    return users


def test_with_the_draws_held_fixed_the_reply_is_the_same_whatever_the_data_are(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum is a constant, as are clock and chance: all that is left to differ would be a leak."""
    monkeypatch.setattr("client.chain._now", lambda: "then")
    monkeypatch.setattr("client.chain.os.urandom", bytes)
    new_ledger(tmp_path / "new").close()
    monkeypatch.setattr(
        "client.gate.clipped_sum", lambda *_: torch.zeros(PLAN.dimension, dtype=torch.float64)
    )
    replies = set()
    for number, people in enumerate((nobody, broken, raising, huge, lambda: crowd(20))):
        for suffix in ("", ".key"):
            shutil.copy(tmp_path / f"new{suffix}", tmp_path / f"{number}{suffix}")
        with Ledger.open(tmp_path / str(number)) as ledger:
            grid = install(make_gate(ledger, people, seed=1))
            said = [seen(send(grid, content, kind)) for kind, content in MESSAGES.items()]
            said += [seen(send(grid, content, "train")) for content in corrupt()]
            replies.add(repr(said))
    assert len(replies) == 1


@pytest.mark.parametrize("people", [nobody, broken, raising, huge])
def test_whatever_the_data_are_the_real_reply_has_the_same_form(
    install: Any, tmp_path: Path, people: Callable[[], Users]
) -> None:
    with new_ledger(tmp_path / "north.sqlite") as ledger:
        grid = install(make_gate(ledger, people))
        acceptance = decode_acceptance(unfolded(send(grid, MESSAGES["query.plan"], "query.plan").content))
        assert acceptance.plan_digest == PLAN.digest()
        reply = send(grid, MESSAGES["train"], "train")
        answer = unfolded(reply.content)
        total = decode_release(answer, QUERY, PLAN).total
        assert float(total.std()) == pytest.approx(PLAN.noise_std, rel=0.15)
        assert set(answer) == {"header", "arrays"}
        assert set(arrays_of(answer)) == {"total"}


def test_people_who_cannot_be_read_get_a_code_and_keep_the_charge(install: Any, tmp_path: Path) -> None:
    def people() -> Users:
        raise RuntimeError("Ann's file is damaged")

    with new_ledger(tmp_path / "north.sqlite") as ledger:
        grid = install(make_gate(ledger, people))
        send(grid, MESSAGES["query.plan"], "query.plan")
        reply = repr(seen(send(grid, MESSAGES["train"], "train")))
        assert "UNAVAILABLE" in reply
        assert "Ann" not in reply
        assert ledger.events() == [PLAN.event()]


def test_a_site_without_its_ledger_answers_with_a_code_and_makes_none(tmp_path: Path) -> None:
    file = site_file(tmp_path)
    file.write_text(
        'name = "north"\nledger = "gone.sqlite"\nunit = "user"\nmethods = ["dp_sgd"]\n'
        "declared_population = 5\n[budget]\nepsilon = 1.0\ndelta = 1e-5\n"
    )
    grid = InProcessGrid(client.app.app, 1, {"run-dir": str(tmp_path)})
    assert "UNAVAILABLE" in repr(seen(send(grid, MESSAGES["train"], "train")))
    assert not (tmp_path / "sites" / "gone.sqlite").exists()
    assert file not in client.app.resident
