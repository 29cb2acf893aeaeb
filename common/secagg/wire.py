"""`common.secagg.messages` as Flower records, and back: field by field as `protos/gate.proto` names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from flwr.app import RecordDict
from google.protobuf.message import Message

from common.parcel import pack, raise_refused, strict, unpack
from common.secagg import messages
from protos import gate_pb2

T = TypeVar("T")

MOST_ENTRIES = 1000
"""Of any list in a message: as many as a roster may have sites."""


def encode(message: Any) -> RecordDict:
    """One of `common.secagg.messages` as a record."""
    return pack(to_proto(message))


@strict
def decode(content: RecordDict, kind: type[T]) -> T:
    """A message of `kind`, or the Refusal that came in its place."""
    raise_refused(content)
    return from_proto(unpack(content, _protobuf(kind)), kind)


def to_proto(message: Any) -> Message:
    """A dataclass as its protobuf namesake."""
    values = {item.name: _told(getattr(message, item.name)) for item in fields(message)}
    return _protobuf(type(message))(**values)


def from_proto(header: Message, kind: type[T]) -> T:
    """The inverse of `to_proto`; raises InputError or ValueError for what is no such message."""
    hints = get_type_hints(kind)
    values = {item.name: _read(getattr(header, item.name), hints[item.name]) for item in fields(kind)}  # type: ignore[arg-type]
    return kind(**values)


def _told(value: Any) -> Any:
    if isinstance(value, tuple):
        return [to_proto(part) if is_dataclass(part) else part for part in value]
    return value


def _read(value: Any, hint: Any) -> Any:
    inner = get_args(hint)
    if not inner:
        return value
    if not isinstance(value, Iterable) or len(value) > MOST_ENTRIES:  # type: ignore[arg-type]
        raise ValueError(f"more than {MOST_ENTRIES} entries")
    kind: type = inner[0]
    return tuple(from_proto(part, kind) if is_dataclass(kind) else part for part in value)


def _protobuf(kind: type) -> type[Message]:
    if kind.__module__ != messages.__name__:
        raise TypeError(f"{kind.__name__} is no message of secure aggregation")
    found: type[Message] = getattr(gate_pb2, kind.__name__)
    return found
