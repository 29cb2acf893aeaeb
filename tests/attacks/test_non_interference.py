"""What a coordinator reads of a site says nothing about its people but the noised vector (T2, T4).

The sum is computed and then replaced by a constant, under fixed draws: a byte that still
differs between two data sets would be a leak. Every check compares whole serialised replies.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.common.serde import message_to_proto
from torch import Tensor

import client.app
from client.door import Door
from client.mechanism import SampledGaussian
from client.users import Users
from common.methods import NAMES
from common.plan import Plan
from common.signing import create_key
from common.wire import encode_plan, encode_query
from simulations.grid import InProcessGrid
from tests.leaks import Sum, wrap_sum
from tests.small_methods import CASES, law_plan
from tests.small_site import ENGINES, as_sent, ask, crowd, make_gate, make_state, make_users, new_ledger

People = Callable[[], Users]


def nan() -> Users:
    users = crowd(6)
    users._raw[:] = math.nan
    return users


def huge() -> Users:
    users = make_users({f"p{i}": 60 for i in range(40)})
    users._raw *= 1e30
    return users


def raising() -> Users:
    """Rows that no codec takes: windows of another length."""
    users = crowd(6)
    users._raw = users._raw[:, :5]
    return users


def torn() -> Users:
    """Rows that raise when they are reached: the index knows more windows than there are."""
    users = crowd(6)
    users._starts[3:] += 1000
    return users


PEOPLE: dict[str, People] = {
    "nobody": lambda: crowd(0), "one": lambda: crowd(1), "many": lambda: crowd(40), "huge": huge,
    "nan": nan, "raising": raising, "torn": torn,
}  # fmt: skip


def unreadable() -> Users:
    raise OSError("Ann's folder, 7 files: permission denied")


def missing() -> Users:
    raise KeyError("eve")


UNREADABLE: dict[str, People] = {"unreadable": unreadable, "missing": missing}


def corrupt(train: RecordDict) -> list[RecordDict]:
    header = train.config_records["header"]
    return [
        RecordDict(),
        RecordDict({"message": ConfigRecord({"kind": "Query", "people": 7})}),
        RecordDict({"header": ConfigRecord({"kind": "Query", "body": b"\xff\xff"})}),
        RecordDict({"header": header}),
        RecordDict({"header": header, "arrays": ArrayRecord()}),
        RecordDict({"header": ConfigRecord({"kind": "Elephant", "body": b""})}),
    ]


def conversation(plan: Plan) -> list[tuple[str, RecordDict]]:
    """Every kind of message, rounds and repeats, and all that must be refused."""
    first, second = make_state(plan, 1), make_state(plan, 2)
    train = encode_query(ask(plan, first), first)
    other = replace(plan, clip_norm=plan.clip_norm * 2)
    return [
        ("train", train),  # no plan yet
        ("query.plan", encode_plan(replace(plan, method="../../etc/passwd"), {})),
        ("query.plan", encode_plan(replace(plan, run_id="loud", noise_multiplier=0.0), {})),
        ("query.plan", encode_plan(plan, {})),
        ("query.plan", encode_plan(other, {})),
        ("train", train),
        ("train", train),  # again
        ("train", encode_query(ask(plan, second), second)),
        ("train", train),  # stale
        ("train", encode_query(ask(plan, first, round=plan.rounds + 1), first)),
        ("train", encode_query(ask(plan, first, run_id="other"), first)),
        ("train", encode_query(ask(other, first), first)),
        *[(kind, content) for content in corrupt(train) for kind in ("train", "query.plan")],
        *[(kind, train) for kind in ("evaluate", "query", "query.people", "train.more")],
    ]


def wire_bytes(message: Message) -> bytes:
    """All of a reply that crosses the wire, but for its clock and number."""
    proto = message_to_proto(message)
    proto.metadata.ClearField("created_at")
    proto.metadata.ClearField("ttl")
    proto.metadata.ClearField("message_id")
    proto.metadata.ClearField("reply_to_message_id")
    return bytes(proto.SerializeToString(deterministic=True))


@contextmanager
def site(folder: Path, gate: Any) -> Iterator[InProcessGrid]:
    """A grid with one real ClientApp, behind which stands `gate`."""
    file = folder / "sites" / "north.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    client.app.resident[file] = Door(gate)
    try:
        yield InProcessGrid(client.app.app, 1, {"run-dir": str(folder)})
    finally:
        client.app.resident.pop(file, None)


def replies(
    folder: Path, plan: Plan, people: People, engine: str = ENGINES[0], seed: int | None = 1
) -> list[bytes]:
    """What one site with `people` answers to the conversation."""
    folder.mkdir()
    with new_ledger(folder / "ledger") as ledger:
        gate = make_gate(ledger, people, seed=seed, methods=(plan.method,), engine=engine)
        with site(folder, gate) as grid:
            return [answer(grid, Message(as_sent(content), 2, kind)) for kind, content in conversation(plan)]


def answer(grid: InProcessGrid, message: Message) -> bytes:
    """The reply's bytes, or the words that Flower would send where the ClientApp raises."""
    try:
        (reply,) = grid.send_and_receive([message])
    except Exception as error:
        return repr(error).encode()
    return wire_bytes(reply)


def constant_sum(patch: pytest.MonkeyPatch) -> None:
    """The sum is computed, and thrown away: whatever happens on the way still happens."""

    def constant(real: Sum, given: dict[str, Any]) -> Tensor:
        return torch.zeros_like(real(**given))

    wrap_sum(patch, constant)


def plain_heads(patch: pytest.MonkeyPatch) -> None:
    """The same key, salts and clock at every ledger: its heads are then the same too, or tell of people."""
    patch.setattr("client.ledger_file.create_key", lambda path: create_key(path, "one"))
    patch.setattr("client.chain.os", SimpleNamespace(urandom=bytes))
    patch.setattr("client.chain._now", lambda: "1970-01-01T00:00:00+00:00")


def check_replies_are_the_same(folder: Path, method: str, engine: str, group: dict[str, People]) -> None:
    plan = law_plan(method, rounds=2)
    with pytest.MonkeyPatch.context() as patch:
        constant_sum(patch)
        plain_heads(patch)
        answers = {name: replies(folder / name, plan, people, engine) for name, people in group.items()}
    for place, said in enumerate(zip(*answers.values(), strict=True)):
        assert len(set(said)) == 1, f"message {place} is answered by who the people are"


each = pytest.mark.parametrize(("method", "engine"), [case for case in CASES if case.values[0] in NAMES])


@each
def test_every_reply_to_every_message_is_the_same_whoever_the_people_are(
    tmp_path: Path, method: str, engine: str
) -> None:
    check_replies_are_the_same(tmp_path, method, engine, PEOPLE)


def test_people_who_cannot_be_read_all_get_the_same_reply(tmp_path: Path) -> None:
    check_replies_are_the_same(tmp_path, next(iter(NAMES)), ENGINES[0], UNREADABLE)


WORDS = (b"Ann's", b"'eve'", b"permission", b"IndexError", b"out of bounds")


def check_no_word_of_people(folder: Path) -> None:
    """Names and reasons from the site's side stand in no reply."""
    plan = law_plan(next(iter(NAMES)), rounds=2)
    for name, people in {**UNREADABLE, "torn": torn}.items():
        said = b"".join(replies(folder / f"words-{name}", plan, people))
        assert not [word for word in WORDS if word in said]


def test_no_reply_says_in_words_what_happened(tmp_path: Path) -> None:
    check_no_word_of_people(tmp_path)


def check_lengths(folder: Path, engine: str = ENGINES[0]) -> None:
    """T2: with fresh noise and the real sum, replies of all sites have the same lengths."""
    plan = law_plan(next(iter(NAMES)), rounds=2)
    lengths = {
        tuple(len(reply) for reply in replies(folder / f"length-{name}", plan, people, engine, seed=None))
        for name, people in PEOPLE.items()
    }
    assert len(lengths) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_messages_are_as_long_whoever_the_people_are(tmp_path: Path, engine: str) -> None:
    check_lengths(tmp_path, engine)


def check_path(folder: Path) -> None:
    """T2: nobody, one or all drawn: one sample, one sum, one noise, charge before, bytes kept after."""
    plan = law_plan(next(iter(NAMES)), rounds=1)
    paths = set()
    for name, people in PEOPLE.items():
        steps: list[str] = []
        with pytest.MonkeyPatch.context() as patch, new_ledger(folder / f"path-{name}") as ledger:
            for place, step in ((SampledGaussian, "sample"), (SampledGaussian, "noise")):
                patch.setattr(place, step, noting(getattr(place, step), steps))
            for step in ("charge", "store"):
                patch.setattr(type(ledger), step, noting(getattr(type(ledger), step), steps))
            gate = make_gate(ledger, noting(people, steps), methods=(plan.method,))
            gate.accept(plan, {})
            state = make_state(plan, 1)
            gate.release(ask(plan, state), state)
        paths.add(tuple(steps))
    assert len(paths) == 1
    (path,) = paths
    assert path[0] == "charge" and path[-1] == "store"
    assert path.count("sample") == path.count("noise") == 1


def noting(real: Callable[..., Any], steps: list[str]) -> Callable[..., Any]:
    known = {"sample", "noise", "charge", "store"}
    name = real.__name__ if real.__name__ in known else "people"

    def noted(*arguments: Any) -> Any:
        steps.append(name)
        return real(*arguments)

    return noted


def test_nobody_one_or_all_drawn_take_the_same_path(tmp_path: Path) -> None:
    check_path(tmp_path)


def test_what_a_site_logs_stays_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is written down at the site, and nowhere that travels."""
    log = logging.getLogger("fedmotion.client")
    handler = client.app.site_log(tmp_path)
    monkeypatch.setattr(log, "handlers", [handler])
    plan = law_plan(next(iter(NAMES)), rounds=2)
    said = b"".join(replies(tmp_path / "site", plan, unreadable))
    handler.close()
    assert "permission denied" in (tmp_path / client.app.LOG).read_text()
    assert b"permission denied" not in said
