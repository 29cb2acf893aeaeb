"""Records as they cross the gate's socket: nothing is lost, added or read that is not of their kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from common import parcel
from common.errors import Refusal, RefusalCode
from common.parcel import MAX_HEADER, encode_refusal, from_parcel, require_form, to_parcel
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
