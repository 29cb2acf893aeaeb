"""Messages as nobody would send them: records, fields, arrays and bytes of real ones, changed one by one."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from common.errors import Refusal
from common.parcel import array_record, arrays_of, joined_of
from protos import gate_pb2

KINDS = [message.name for message in gate_pb2.DESCRIPTOR.message_types_by_name.values()]
TEXTS = ["", "x", "\n", "\0", "é" * 70, "../../etc/passwd", "coordinator", "0" * 64, "f" * 128, "[" * 5000,
         "x" * 70_000, "{}", "[]", "null", "NaN", '{"width": 1e999}', "secagg", "local", "user"]  # fmt: skip
WHOLE = [0, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**32 - 1]
REAL = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e308, math.nan, math.inf, -math.inf, 1e-9]
BYTES = [b"", b"\0", b"\xff" * 64, b"x" * 70_000]

_REAL = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)


def mutated(content: RecordDict, draw: Random) -> RecordDict:
    """`content` with one to three changes; its own records are not touched."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        content = draw.choice(CHANGES)(content, draw)
    return content


def change_bytes(content: RecordDict, draw: Random) -> RecordDict:
    """The header's or the seal's bytes, as a faulty line would."""
    name = draw.choice(["header", "seal"])
    if name not in content.config_records or "body" not in content.config_records[name]:
        return content
    record = content.config_records[name]
    body = record["body"]
    if not isinstance(body, bytes):
        return content
    return RecordDict({**content, name: ConfigRecord({**record, "body": damaged(body, draw)})})


def damaged(data: bytes, draw: Random) -> bytes:
    found = bytearray(data[: 2**20])
    for _ in range(draw.choice([1, 1, 2, 8])):
        at = draw.randrange(min(len(found), 300) + 1)
        kind = draw.randrange(4)
        if kind == 0 and at < len(found):
            found[at] = draw.randrange(256)
        elif kind == 1:
            found[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice([1, 4, 50])))
        elif kind == 2:
            del found[at : at + draw.choice([1, 4, 50])]
        else:
            found += found[: draw.choice([1, 10, 1000])]
    return bytes(found)


def change_field(content: RecordDict, draw: Random) -> RecordDict:
    """One field of the header, at any depth, to what it must not be."""
    if "header" not in content.config_records:
        return content
    record = content.config_records["header"]
    kind, body = record.get("kind"), record.get("body")
    if kind not in KINDS or not isinstance(body, bytes):
        return content
    header: Message = getattr(gate_pb2, str(kind))()
    try:
        header.ParseFromString(body)
    except DecodeError:
        return content
    _change(header, draw)
    body = header.SerializeToString(deterministic=True)
    return RecordDict({**content, "header": ConfigRecord({"kind": str(kind), "body": body})})


def _change(message: Message, draw: Random) -> None:
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = draw.choice(fields)
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.is_repeated:
        _change_list(value, field, draw)
    elif field.message_type is not None:
        _change(value, draw) if draw.random() < 0.8 else message.ClearField(field.name)
    else:
        setattr(message, field.name, _value(field, draw))


def _change_list(values: Any, field: FieldDescriptor, draw: Random) -> None:
    what = draw.randrange(4)
    if what == 0 and len(values):
        del values[draw.randrange(len(values))]
    elif what == 1 and len(values):
        values.extend([values[draw.randrange(len(values))]] * draw.choice([1, 2, 1100]))
    elif what == 2 and len(values) and field.message_type is not None:
        _change(values[draw.randrange(len(values))], draw)
    elif field.message_type is not None:
        values.add()
    else:
        values.extend([_value(field, draw)] * draw.choice([1, 1100]))


def _value(field: FieldDescriptor, draw: Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return draw.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw.choice(BYTES)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return draw.random() < 0.5
    return draw.choice(REAL) if field.type in _REAL else draw.choice(WHOLE)


def change_kind(content: RecordDict, draw: Random) -> RecordDict:
    """The header as one of another kind."""
    if "header" not in content.config_records:
        return content
    record = {**content.config_records["header"], "kind": draw.choice([*KINDS, "", "Elephant", "x" * 40])}
    return RecordDict({**content, "header": ConfigRecord(record)})


def change_records(content: RecordDict, draw: Random) -> RecordDict:
    """Records that are missing, too many, or of another kind."""
    records: dict[str, Any] = dict(content)
    name = draw.choice(["header", "arrays", "seal", "extra"])
    what = draw.randrange(5)
    if what == 0:
        records.pop(name, None)
    elif what == 1:
        records[name] = ConfigRecord({"body": draw.choice(BYTES)})
    elif what == 2:
        records[name] = MetricRecord({"loss": draw.choice(REAL)})
    elif what == 3:
        records[name] = array_record({"total": draw.choice(BYTES)})
    else:
        odd: list[Any] = ["text", 3, 2.5, True, [1, 2], [b"x"], ["a"]]
        records[name] = ConfigRecord({"kind": draw.choice(odd), "body": draw.choice(odd)})
    return RecordDict(records)


def change_arrays(content: RecordDict, draw: Random) -> RecordDict:
    """One array: damaged, of another type or shape, a pickle, an archive, renamed, doubled or gone."""
    if "arrays" not in content.array_records:
        return content
    try:
        arrays = {name: bytes(data) for name, data in arrays_of(content).items()}
    except Refusal:  # changed already
        return content
    if not arrays:
        return RecordDict({**content, "arrays": array_record({"a": draw.choice(BYTES)})})
    name = draw.choice(sorted(arrays))
    data = arrays[name]
    what = draw.randrange(9)
    if what == 0:
        arrays[draw.choice(TEXTS)[:300]] = arrays.pop(name)
    elif what == 1:
        arrays.pop(name)
    elif what == 2:
        arrays = {**arrays, **{f"{name}{i}": arrays[name] for i in range(draw.choice([1, 3, 300]))}}
    elif what == 3:
        arrays[name] = damaged(data, draw)
    elif what == 4:
        return RecordDict({**content, "arrays": _as_one(damaged(joined_of(content), draw))})
    else:
        arrays[name] = draw.choice(FORGED)(data)
    return RecordDict({**content, "arrays": array_record(arrays)})


def _as_one(data: bytes) -> ArrayRecord:
    return ArrayRecord({"arrays": Array("float32", (1,), "numpy.ndarray", data)})


def npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(value), allow_pickle=True)
    return file.getvalue()


def archive(_: bytes) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, total=np.zeros(100_000, np.float32))
    return file.getvalue()


def of_another_shape(data: bytes) -> bytes:
    return data.replace(b"'shape': (", b"'shape': (1,", 1)


FORGED: list[Callable[[bytes], bytes]] = [
    lambda _: npy(np.array([{"os": "system"}], dtype=object)),
    lambda _: npy(np.zeros(3, np.float16)),
    lambda _: npy(np.zeros((2, 3), np.float32, order="F")),
    lambda _: npy(np.full(5, np.nan, np.float32)),
    lambda data: data.replace(b"<f4", b"<f8", 1),
    lambda data: data.replace(b"<f4", b"<i4", 1),
    lambda data: data[:64],
    lambda data: data + bytes(1000),
    lambda data: data[:10] + b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 50_000,
    lambda _: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    archive,
    of_another_shape,
]

CHANGES = [change_bytes, change_field, change_field, change_field, change_kind, change_records, change_arrays]
