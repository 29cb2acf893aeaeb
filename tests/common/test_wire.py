"""Messages: what is sent arrives as it was, and foreign bytes are MALFORMED without a bang."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from common import parcel, wire
from common.errors import Refusal, RefusalCode
from common.parcel import MAX_ARRAYS, MAX_HEADER, array_record, arrays_of, encode_refusal
from common.query import Acceptance, Release
from protos import gate_pb2
from tests.small_site import ask, make_plan, make_state

PLAN = make_plan()
STATE = make_state(PLAN, 1)
QUERY = ask(PLAN, STATE)


def a_release(**changes: Any) -> Release:
    fields: dict[str, Any] = {
        "site": "north", "run_id": PLAN.run_id, "round": 1, "query_digest": QUERY.digest("local"),
        "charge": 3, "total": torch.randn(PLAN.dimension),
    }  # fmt: skip
    return Release(**{**fields, **changes})


def malformed(decode: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(Refusal) as caught:
        decode(*arguments)
    assert caught.value.code is RefusalCode.MALFORMED


def test_every_message_arrives_as_it_was_sent() -> None:
    arrays = {
        "a": torch.randn(3, 4),
        "b": torch.arange(5),
        "c": torch.randn(2).double(),
        "d": torch.empty(0, 3),
    }
    plan, received = wire.decode_plan(wire.encode_plan(PLAN, arrays))
    assert plan.digest() == PLAN.digest()
    assert all(torch.equal(arrays[name], received[name]) for name in arrays)
    query, state = wire.decode_query(wire.encode_query(QUERY, STATE))
    assert (query, state.digest()) == (QUERY, STATE.digest())
    acceptance = Acceptance(site="north", plan_digest="d", declared_population=7)
    assert wire.decode_acceptance(wire.encode_acceptance(acceptance)) == acceptance
    release = a_release()
    found = wire.decode_release(wire.encode_release(release), QUERY, PLAN)
    assert torch.equal(found.total, release.total)
    assert (found.site, found.charge, found.query_digest) == ("north", 3, release.query_digest)


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 1e6), st.floats(1e-6, 1), st.floats(1e-12, 0.5))
def test_a_plans_numbers_arrive_to_the_last_bit(c: float, z: float, q: float, delta: float) -> None:
    plan = make_plan(clip_norm=c, noise_multiplier=z, sampling_rate=q, delta=delta)
    assert wire.decode_plan(wire.encode_plan(plan, {}))[0].digest() == plan.digest()


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_refusal_is_its_code_and_nothing_else(code: RefusalCode) -> None:
    content = encode_refusal(code)
    assert set(content) == {"header"}
    assert set(content.config_records["header"]) == {"kind", "body"}
    assert len(str(content.config_records["header"]["body"])) < 40
    for decode in (wire.decode_acceptance, lambda c: wire.decode_release(c, QUERY, PLAN)):
        with pytest.raises(Refusal) as caught:
            decode(content)
        assert caught.value.code is code


@pytest.mark.parametrize(
    "changes",
    [
        {"total": torch.randn(PLAN.dimension + 1)},
        {"total": torch.randn(1, PLAN.dimension)},
        {"total": torch.randn(PLAN.dimension).double()},
        {"total": torch.full((PLAN.dimension,), float("nan"))},
        {"total": torch.full((PLAN.dimension,), float("inf"))},
        {"round": 2},
        {"run_id": "other"},
        {"query_digest": "0" * 64},
    ],
)
def test_a_release_of_another_shape_number_or_query_is_refused(changes: dict[str, Any]) -> None:
    malformed(wire.decode_release, wire.encode_release(a_release(**changes)), QUERY, PLAN)


def npy(value: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, value, version, allow_pickle=True)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, total=np.zeros(PLAN.dimension, np.float32))
    return file.getvalue()


def header_only(shape: str) -> bytes:
    return npy(np.zeros((2, 2), np.float32)).replace(b"(2, 2)", shape.encode())[:128]


BODIES = {
    "an object array, which only a pickle can hold": npy(np.array([{}], dtype=object)),
    "an archive": zipped(),
    "another byte order": npy(np.zeros(3, ">f4")),
    "column order": npy(np.asfortranarray(np.zeros((2, 3), np.float32))),
    "another type": npy(np.zeros(3, np.float16)),
    "text": npy(np.array(["abc"])),
    "another version": npy(np.zeros(3, np.float32), (2, 0)),
    "too few bytes": npy(np.zeros(3, np.float32))[:-1],
    "too many bytes": npy(np.zeros(3, np.float32)) + b"x",
    "four terabytes": header_only("(10**12,)").replace(b"10**12", b"999999999999"),
    "a negative shape": header_only("(-2,-2)"),
    "nothing": b"",
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_an_array_that_is_not_plain_numbers_is_refused(body: bytes) -> None:
    content = wire.encode_release(a_release())
    content["arrays"] = array_record({"total": body})
    malformed(wire.decode_release, content, QUERY, PLAN)


def test_too_many_or_too_large_arrays_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {str(i): torch.zeros(1) for i in range(MAX_ARRAYS + 1)}
    malformed(wire.decode_plan, wire.encode_plan(PLAN, many))
    monkeypatch.setattr(parcel, "MAX_BYTES", 1000)
    malformed(wire.decode_plan, wire.encode_plan(PLAN, {"a": torch.zeros(300)}))


def plan_with(**changes: Any) -> RecordDict:
    content = wire.encode_plan(PLAN, {})
    header = gate_pb2.Plan()
    header.ParseFromString(content.config_records["header"]["body"])  # type: ignore[arg-type]
    for name, value in changes.items():
        setattr(header, name, value)
    content["header"] = ConfigRecord({"kind": "Plan", "body": header.SerializeToString()})
    return content


@pytest.mark.parametrize(
    "changes",
    [
        {"options_json": "[" * 100_000},
        {"options_json": '{"a":' * 5_000},
        {"options_json": "9" * 100_000},
        {"codec_json": '{"inner":' * 400 + "1" + "}" * 400},
        {"options_json": "null"},
        {"options_json": "x" * (MAX_HEADER + 1)},
        {"clip_norm": float("nan")},
        {"noise_multiplier": float("inf")},
        {"noise_multiplier": -1.0},
        {"rounds": 2**32 - 1},
        {"dimension": 10**12},
        {"unit": "everybody"},
        {"trust": "nobody"},
        {"run_id": "../../x"},
    ],
    ids=lambda changes: str(changes)[:30],
)
def test_an_absurd_plan_does_not_decode(changes: dict[str, Any]) -> None:
    malformed(wire.decode_plan, plan_with(**changes))


@pytest.mark.parametrize(
    "header",
    [{}, {"kind": "Plan"}, {"kind": "Plan", "body": "text"}, {"kind": "Plan", "body": 3},
     {"kind": 3, "body": b""}, {"kind": "Query", "body": b""}, {"kind": "Plan", "body": [1, 2]},
     {"kind": "Refused", "body": b"\x0a\x03BAD"}, {"kind": "Plan", "body": b"\xff\xff\xff"}],
)  # fmt: skip
def test_a_damaged_header_is_refused(header: dict[str, Any]) -> None:
    content = RecordDict({"header": ConfigRecord(header), "arrays": ArrayRecord({})})
    for decode in (wire.decode_plan, wire.decode_acceptance, lambda c: wire.decode_release(c, QUERY, PLAN)):
        malformed(decode, content)


def test_an_empty_message_is_refused() -> None:
    for decode in (wire.decode_plan, wire.decode_query, wire.decode_acceptance):
        malformed(decode, RecordDict())


def test_no_mutated_message_does_anything_but_decode_or_refuse() -> None:
    """Bytes changed at random places of header and arrays; a release that decodes has the right shape."""
    draw = random.Random(0)
    body = bytes(arrays_of(wire.encode_release(a_release()))["total"])
    header = wire.encode_release(a_release()).config_records["header"]["body"]
    assert isinstance(header, bytes)
    for _ in range(1500):
        parts = [bytearray(header), bytearray(body)]
        for _ in range(draw.choice([1, 1, 2, 8])):
            part = draw.choice(parts)
            part[draw.randrange(min(len(part), 200))] = draw.randrange(256)
        content = RecordDict({
            "header": ConfigRecord({"kind": "Release", "body": bytes(parts[0])}),
            "arrays": array_record({"total": bytes(parts[1])}),
        })  # fmt: skip
        try:
            release = wire.decode_release(content, QUERY, PLAN)
        except Refusal:
            continue
        assert release.total.shape == (PLAN.dimension,)
        assert release.query_digest == QUERY.digest("local")


def test_a_plan_says_the_same_in_json_and_on_the_wire() -> None:
    assert json.loads(PLAN.to_json())["options"] == wire.decode_plan(wire.encode_plan(PLAN, {}))[0].options
