"""Records as they cross the gate's socket: nothing is lost, added or read that is not of their kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from common import parcel
from common.errors import Refusal, RefusalCode
from common.parcel import (
    MAX_ARRAYS,
    MAX_HEADER,
    arrays_of,
    decode_hello,
    encode_hello,
    encode_refusal,
    folded,
    from_parcel,
    require_form,
    to_parcel,
    unfolded,
)
from common.query import Acceptance
from common.wire import decode_plan, decode_query, encode_acceptance, encode_plan, encode_query
from protos import gate_pb2
from tests.small_site import ask, make_plan, make_state

PLAN = make_plan()
STATE = make_state(PLAN, 1)
QUERY = encode_query(ask(PLAN, STATE), STATE)
ACCEPTED = encode_acceptance(Acceptance(site="north", plan_digest="d", declared_population=7))


def malformed(content: RecordDict) -> None:
    for reads in (require_form, to_parcel):
        with pytest.raises(Refusal) as caught:
            reads(content)
        assert caught.value.code is RefusalCode.MALFORMED


def test_what_crosses_the_socket_is_what_was_sent() -> None:
    plan, arrays = decode_plan(from_parcel(to_parcel(encode_plan(PLAN, {"a": torch.ones(3)}))))
    assert plan == PLAN and torch.equal(arrays["a"], torch.ones(3))
    query, state = decode_query(from_parcel(to_parcel(QUERY)))
    assert (query, state.digest()) == (ask(PLAN, STATE), STATE.digest())
    for content in (QUERY, ACCEPTED, encode_refusal(RefusalCode.STALE)):
        assert to_parcel(from_parcel(to_parcel(content))) == to_parcel(content)


def test_a_plan_without_arrays_crosses_it_too() -> None:
    assert decode_plan(from_parcel(to_parcel(encode_plan(PLAN, {})))) == (PLAN, {})


EXTRA: dict[str, dict[str, Any]] = {
    "a record more": {"extra": ConfigRecord({"body": b""})},
    "a metric": {"extra": MetricRecord({"loss": 0.5})},
    "more arrays": {"arrays2": ArrayRecord({})},
    "a header with more": {"header": ConfigRecord({**QUERY.config_records["header"], "people": 7})},
    "a header without a kind": {"header": ConfigRecord({"body": b""})},
    "arrays of another kind": {"arrays": ConfigRecord({"total": b""})},
    "a metric as a header": {"header": MetricRecord({"kind": 1})},
    "too large a header": {"header": ConfigRecord({"kind": "Query", "body": bytes(MAX_HEADER + 1)})},
    "too long a kind": {"header": ConfigRecord({"kind": "Query" * 10, "body": b""})},
    "an empty seal": {"seal": ConfigRecord({"body": b""})},
}


@pytest.mark.parametrize("records", EXTRA.values(), ids=EXTRA.keys())
def test_a_message_holds_the_records_of_its_kind_and_no_more(records: dict[str, Any]) -> None:
    require_form(QUERY)
    malformed(RecordDict({**QUERY, **records}))


def test_arrays_come_with_a_kind_that_names_them_by_digest_alone() -> None:
    """A seal binds arrays through the body: where the body names none, none may ride along."""
    malformed(RecordDict({**ACCEPTED, "arrays": QUERY["arrays"]}))
    malformed(RecordDict({"header": QUERY["header"]}))
    kinds = {kind.name for kind in gate_pb2.DESCRIPTOR.message_types_by_name.values()}
    assert kinds >= parcel._WITH_ARRAYS


def test_names_count_towards_the_size_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "MAX_BYTES", 500)
    require_form(encode_plan(PLAN, {"a": torch.zeros(10)}))
    malformed(encode_plan(PLAN, {"a" * 500: torch.zeros(10)}))
    malformed(encode_plan(PLAN, {"a": torch.zeros(200)}))


def _told(names: list[str], sizes: list[int], data: bytes, length: int | None = None) -> RecordDict:
    """A query whose arrays' index says this."""
    index = gate_pb2.Index(names=names, sizes=sizes).SerializeToString()
    joined = (len(index) if length is None else length).to_bytes(4, "big") + index + data
    record = ArrayRecord({"arrays": Array("", (), "fedmotion", joined)})
    return RecordDict({**QUERY, "arrays": record})


INDEXES: dict[str, tuple[Any, ...]] = {
    "fewer sizes": (["a", "b"], [4], b"1234"),
    "more bytes": (["a"], [4], b"12345"),
    "fewer bytes": (["a"], [4], b"123"),
    "a name twice": (["a", "a"], [2, 2], b"1234"),
    "sizes that run over": (["a", "b"], [2**64 - 1, 5], b"1234"),
    "too many": ([str(i) for i in range(MAX_ARRAYS + 1)], [0] * (MAX_ARRAYS + 1), b""),
    "too long an index": (["a" * 2**16], [0], b""),
    "an index longer than all": (["a"], [4], b"1234", 2**32 - 1),
    "half an index": (["a"], [4], b"1234", 3),
}


@pytest.mark.parametrize("told", INDEXES.values(), ids=INDEXES)
def test_arrays_are_as_many_and_as_long_as_their_index_says(told: tuple[Any, ...]) -> None:
    assert arrays_of(_told(["a", "b"], [1, 3], b"1234")) == {"a": b"1", "b": b"234"}
    malformed(_told(*told))


def test_arrays_travel_as_one() -> None:
    """Flower carries each Array of a record in two requests of its own, at every hop."""
    query = QUERY.array_records["arrays"]
    assert len(query) == 1 and len(arrays_of(QUERY)) == len(STATE.arrays) > 1
    malformed(RecordDict({**QUERY, "arrays": ArrayRecord({**query, "more": query["arrays"]})}))
    malformed(RecordDict({**QUERY, "arrays": ArrayRecord({})}))


def test_a_parcel_of_another_form_is_malformed() -> None:
    good = to_parcel(QUERY)
    for changes in (
        {"kind": ""},
        {"kind": "Accepted"},
        {"seal": bytes(2000)},
        {"body": bytes(MAX_HEADER + 1)},
    ):
        bad = gate_pb2.Parcel()
        bad.CopyFrom(good)
        for name, value in changes.items():
            setattr(bad, name, value)
        with pytest.raises(Refusal) as caught:
            from_parcel(bad)
        assert caught.value.code is RefusalCode.MALFORMED


SEALED = RecordDict({**QUERY, "seal": ConfigRecord({"body": b"a seal"})})


@pytest.mark.parametrize("content", [QUERY, SEALED, ACCEPTED, encode_hello("north")])
def test_a_message_goes_through_flower_as_one_record(content: RecordDict) -> None:
    """Flower carries each record of a message in requests of its own, at every hop."""
    told = folded(content)
    assert list(told) == ["message"] and unfolded(told) == content


def test_what_is_no_part_of_a_message_goes_nowhere() -> None:
    """Records that something put beside a message stay where they are."""
    more = RecordDict(
        {**SEALED, "metrics": MetricRecord({"num-examples": 7}), "words": ConfigRecord({"a": "b"})}
    )
    assert folded(more) == folded(SEALED)


def test_long_arrays_go_beside_the_record_in_flowers_own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "_BESIDE", 100)
    told = folded(SEALED)
    assert set(told) == {"message", "arrays"} and unfolded(told) == SEALED


TOLD = folded(SEALED)
MESSAGE = TOLD.config_records["message"]
UNTRUE: dict[str, RecordDict] = {
    "nothing": RecordDict(),
    "unfolded": SEALED,
    "a record more": RecordDict({**TOLD, "extra": ConfigRecord({"body": b""})}),
    "a metric": RecordDict({**TOLD, "extra": MetricRecord({"loss": 0.5})}),
    "a field more": RecordDict({"message": ConfigRecord({**MESSAGE, "people": 7})}),
    "arrays twice": RecordDict({**TOLD, "arrays": QUERY["arrays"]}),
    "arrays in words": RecordDict({"message": ConfigRecord({**MESSAGE, "arrays": "words"})}),
    "a number for a seal": RecordDict({"message": ConfigRecord({**MESSAGE, "seal": 5})}),
    "no body": RecordDict({"message": ConfigRecord({"kind": "Query", "arrays": MESSAGE["arrays"]})}),
    "a metric as the message": RecordDict({"message": MetricRecord({"kind": 1})}),
    "arrays of no kind's": RecordDict({"message": ConfigRecord({**MESSAGE, "kind": "Accepted"})}),
}


@pytest.mark.parametrize("told", UNTRUE.values(), ids=UNTRUE)
def test_what_comes_through_flower_in_another_form_is_malformed(told: RecordDict) -> None:
    with pytest.raises(Refusal) as caught:
        unfolded(told)
    assert caught.value.code is RefusalCode.MALFORMED


@pytest.mark.parametrize("name", ["x" * 65, "\udcff"])
def test_a_node_names_its_site_in_a_short_text(name: str) -> None:
    assert decode_hello(encode_hello("north")) == "north"
    body = name.encode(errors="surrogateescape")
    with pytest.raises(Refusal) as caught:
        decode_hello(RecordDict({"header": ConfigRecord({"kind": "Hello", "body": body})}))
    assert caught.value.code is RefusalCode.MALFORMED
