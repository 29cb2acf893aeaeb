"""T12: the largest messages, and larger, at a site's door: refused, within twice the limit on their size."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from google.protobuf.message import Message

from common import parcel
from common.method import PublicState
from common.parcel import kind_of
from common.wire import encode_query
from protos import gate_pb2
from tests.attacks.test_fuzz import Conversation, conversation, resealed

LIMIT: Final = 32 * 2**20


def large(talk: Conversation) -> dict[str, RecordDict]:
    """Questions as large as may be, and larger: states, headers and lists that are not the plan's."""
    query, plan = talk.query, talk.asked["Plan"]
    whole = PublicState(0, {"w": torch.zeros(LIMIT // 4 - 100)})
    many = PublicState(0, {str(i): torch.zeros(LIMIT // 1100) for i in range(256)})
    seen = gate_pb2.Query.FromString(parcel.body_of(talk.asked["Query"]))
    seen.seen.extend([gate_pb2.Seen()] * 600_000)
    labels = gate_pb2.Plan.FromString(parcel.body_of(plan))
    labels.labels.extend([""] * 600_000)
    options = gate_pb2.Plan.FromString(parcel.body_of(plan))
    options.options_json = "{" + ",".join(f'"{i}":[]' for i in range(50_000)) + "}"
    shape = b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 2**23
    return {
        "a state at the limit": encode_query(replace(query, state_digest=whole.digest()), whole),
        "a state in many parts": encode_query(replace(query, state_digest=many.digest()), many),
        "a state past the limit": encode_query(query, PublicState(0, {"w": torch.zeros(LIMIT // 4)})),
        "a long transcript": with_body(talk.asked["Query"], seen),
        "endless labels": with_body(plan, labels),
        "endless options": with_body(plan, options),
        "an endless shape": RecordDict({**talk.asked["Query"], "arrays": parcel.array_record({"w": shape})}),
    }


def with_body(content: RecordDict, header: Message) -> RecordDict:
    body = header.SerializeToString()
    assert len(body) <= parcel.MAX_HEADER
    return RecordDict({**content, "header": ConfigRecord({"kind": kind_of(content), "body": body})})


def check_memory(folder: Path) -> None:
    """What a message takes beside itself stays below twice the limit on its size."""
    with conversation(folder) as talk, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcel, "MAX_BYTES", LIMIT)
        door = talk.federation.sites["north"].door
        for name, content in large(talk).items():
            question = resealed(content, talk.federation)
            tracemalloc.start()
            answer = door.answer(question)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert kind_of(answer) == "Refused", name
            assert peak < 2 * LIMIT, name


def test_memory_stays_below_twice_the_limit(tmp_path: Path) -> None:
    check_memory(tmp_path)
