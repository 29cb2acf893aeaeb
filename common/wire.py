"""Messages of `protos/gate.proto` in Flower records, and back.

A header is one protobuf message in a ConfigRecord; tensors travel beside it in an
ArrayRecord. Whatever does not decode to exactly what is expected is MALFORMED.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar, cast, get_args

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from google.protobuf.message import DecodeError, Message
from torch import Tensor

from common.errors import FedmotionError, Refusal, RefusalCode
from common.method import PublicState
from common.query import Acceptance, Plan, Query, Release, Trust, Unit
from common.witness import Head, Witness
from protos import gate_pb2

MAX_ARRAYS = 256
MAX_BYTES = 512 * 2**20
MAX_HEADER = 4 * 2**20
_UNREADABLE = (
    FedmotionError, DecodeError, ArithmeticError, AttributeError,
    LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00.." rb"\{'descr': '(<f4|<f8|<i8)', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,12}, ?)*(?:\d{1,12})?)\), \} *\n", re.DOTALL,
)  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Message)


def _strict(decode: Callable[P, T]) -> Callable[P, T]:
    """Turn every way in which foreign bytes can fail to decode into one code."""

    @wraps(decode)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return decode(*args, **kwargs)
        except Refusal:
            raise
        except _UNREADABLE as error:
            raise Refusal(RefusalCode.MALFORMED, f"message does not decode: {error}") from None

    return wrapper


def _pack(header: Message, arrays: Mapping[str, Tensor] | None = None) -> RecordDict:
    content = RecordDict(
        {
            "header": ConfigRecord(
                {"kind": header.DESCRIPTOR.name, "body": header.SerializeToString(deterministic=True)}
            )
        }
    )
    if arrays is not None:
        packed = {name: Array(np.ascontiguousarray(a.detach().cpu().numpy())) for name, a in arrays.items()}
        content["arrays"] = ArrayRecord(packed)
    return content


def _header(content: RecordDict, kind: type[M]) -> M:
    record = content.config_records["header"]
    if record["kind"] != kind.DESCRIPTOR.name:
        raise ValueError(f"expected {kind.DESCRIPTOR.name}, got {record['kind']!r}")
    body = cast(bytes, record["body"])
    if len(body) > MAX_HEADER:
        raise ValueError("too large a header")
    message = kind()
    message.ParseFromString(body)
    return message


def _arrays(content: RecordDict) -> dict[str, Tensor]:
    record = content.array_records["arrays"]
    if len(record) > MAX_ARRAYS or sum(len(array.data) for array in record.values()) > MAX_BYTES:
        raise ValueError("too many or too large arrays")
    tensors = {}
    for name, array in record.items():
        tensors[name] = _tensor(array.data)
    return tensors


def _tensor(content: bytes) -> Tensor:
    """A plain NumPy file as a tensor: three types in row order, and no more allocated than was sent.

    NumPy's own reader evaluates the header as Python and reserves what it claims.
    """
    header = _NPY.match(content)
    if header is None or header.end() != 10 + int.from_bytes(content[8:10], "little"):
        raise ValueError("not a plain NumPy array of float32, float64 or int64")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[2].split(b",") if size.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - header.end():
        raise ValueError(f"an array of shape {shape} has {len(content) - header.end()} bytes")
    return torch.from_numpy(np.frombuffer(content, dtype, offset=header.end()).reshape(shape).copy())


def encode_plan(plan: Plan, arrays: Mapping[str, Tensor]) -> RecordDict:
    """The plan with the public arrays that its `arrays_digest` names."""
    header = gate_pb2.Plan(
        run_id=plan.run_id,
        method=plan.method,
        options_json=json.dumps(plan.options, sort_keys=True),
        dimension=plan.dimension,
        clip_norm=plan.clip_norm,
        noise_multiplier=plan.noise_multiplier,
        sampling_rate=plan.sampling_rate,
        unit=plan.unit,
        trust=plan.trust,
        rounds=plan.rounds,
        steps_per_round=plan.steps_per_round,
        delta=plan.delta,
        arrays_digest=plan.arrays_digest,
        labels=plan.labels,
        codec_json=json.dumps(plan.codec, sort_keys=True),
        text_json=json.dumps(plan.text, sort_keys=True),
        loss_weight=plan.loss_weight,
        sites_per_person=plan.sites_per_person,
        coordinator_key=plan.coordinator_key,
    )
    return _pack(header, arrays)


@_strict
def decode_plan(content: RecordDict) -> tuple[Plan, dict[str, Tensor]]:
    """The inverse of `encode_plan`; raises Refusal(MALFORMED)."""
    header = _header(content, gate_pb2.Plan)
    plan = Plan(
        run_id=header.run_id,
        method=header.method,
        options=_object(header.options_json),
        dimension=header.dimension,
        clip_norm=header.clip_norm,
        noise_multiplier=header.noise_multiplier,
        sampling_rate=header.sampling_rate,
        unit=cast(Unit, _one_of(header.unit, get_args(Unit))),
        trust=cast(Trust, _one_of(header.trust, get_args(Trust))),
        rounds=header.rounds,
        steps_per_round=header.steps_per_round,
        delta=header.delta,
        arrays_digest=header.arrays_digest,
        labels=tuple(header.labels),
        codec=_object(header.codec_json),
        text=_object(header.text_json),
        loss_weight=header.loss_weight,
        sites_per_person=header.sites_per_person,
        coordinator_key=header.coordinator_key,
    )
    return plan, _arrays(content)


def encode_query(query: Query, state: PublicState) -> RecordDict:
    """One round's question with the broadcast state."""
    return _pack(_query_header(query), state.arrays)


def with_witness(content: RecordDict, query: Query) -> RecordDict:
    """The encoded query `content` as `query` asks it of one site; the arrays are shared, not packed again."""
    own = _pack(_query_header(query))
    own["arrays"] = content.array_records["arrays"]
    return own


def _query_header(query: Query) -> gate_pb2.Query:
    header = gate_pb2.Query(
        run_id=query.run_id,
        plan_digest=query.plan_digest,
        round=query.round,
        state_digest=query.state_digest,
    )
    if query.witness is not None:
        header.witness.head, header.witness.signature = query.witness.head, query.witness.signature
    return header


@_strict
def decode_query(content: RecordDict) -> tuple[Query, PublicState]:
    """The inverse of `encode_query`; the state's round is the last finished one."""
    header = _header(content, gate_pb2.Query)
    query = Query(
        run_id=header.run_id,
        plan_digest=header.plan_digest,
        round=header.round,
        state_digest=header.state_digest,
        witness=Witness(head=header.witness.head, signature=header.witness.signature)
        if header.HasField("witness")
        else None,
    )
    return query, PublicState(round=header.round - 1, arrays=_arrays(content))


def encode_acceptance(acceptance: Acceptance) -> RecordDict:
    return _pack(
        gate_pb2.Accepted(
            site=acceptance.site,
            plan_digest=acceptance.plan_digest,
            declared_population=acceptance.declared_population,
            site_key=acceptance.site_key,
            **_shown(acceptance.head),
        )
    )


def _shown(head: Head | None) -> dict[str, str]:
    return {} if head is None else {"head": head.hash, "head_signature": head.signature}


def _head(header: gate_pb2.Accepted | gate_pb2.Release) -> Head | None:
    if not header.head and not header.head_signature:
        return None
    return Head(hash=header.head, signature=header.head_signature)


@_strict
def decode_acceptance(content: RecordDict) -> Acceptance:
    """A site's yes, or its Refusal raised."""
    _raise_refused(content)
    header = _header(content, gate_pb2.Accepted)
    return Acceptance(
        site=header.site,
        plan_digest=header.plan_digest,
        declared_population=header.declared_population,
        site_key=header.site_key,
        head=_head(header),
    )


def encode_release(release: Release) -> RecordDict:
    header = gate_pb2.Release(
        site=release.site,
        run_id=release.run_id,
        round=release.round,
        query_digest=release.query_digest,
        dimension=release.total.numel(),
        charge=release.charge,
        **_shown(release.head),
    )
    return _pack(header, {"total": release.total})


@_strict
def decode_release(content: RecordDict, query: Query, plan: Plan) -> Release:
    """A site's answer to `query`, checked against it, or its Refusal raised."""
    _raise_refused(content)
    header = _header(content, gate_pb2.Release)
    arrays = _arrays(content)
    total = arrays["total"]
    if set(arrays) != {"total"} or total.dtype != torch.float32 or total.shape != (plan.dimension,):
        raise ValueError("a release holds one float32 vector of the plan's dimension")
    if not bool(torch.isfinite(total).all()):
        raise ValueError("a release holds finite numbers")
    answered = (header.run_id, header.round, header.query_digest)
    if answered != (query.run_id, query.round, query.digest(plan.trust)):
        raise ValueError("a release answers another query")
    return Release(
        site=header.site,
        run_id=header.run_id,
        round=header.round,
        query_digest=header.query_digest,
        charge=header.charge,
        total=total,
        head=_head(header),
    )


def encode_refusal(code: RefusalCode) -> RecordDict:
    return _pack(gate_pb2.Refused(code=code.value))


def _raise_refused(content: RecordDict) -> None:
    if content.config_records["header"]["kind"] == gate_pb2.Refused.DESCRIPTOR.name:
        raise Refusal(RefusalCode(_header(content, gate_pb2.Refused).code))


def _object(text: str) -> dict[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("expected a JSON object")
    return value


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return value
