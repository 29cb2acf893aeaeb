"""Messages: a header of protobuf and tensors' bytes beside it; light to import.

A header is one protobuf message in a ConfigRecord; tensors are beside it as one Array in an ArrayRecord; a
seal in a record of its own. On Flower's way a message is `folded`. Whatever does not decode to exactly what
is expected is MALFORMED, and what is too large is so before it is hashed or read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import accumulate, pairwise
from typing import Any, Final, ParamSpec, TypeVar, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from google.protobuf.message import DecodeError, Message

from common.errors import FedmotionError, Refusal, RefusalCode
from protos import gate_pb2

MAX_ARRAYS: Final = 256
MAX_BYTES: Final = 512 * 2**20
MAX_HEADER: Final = 4 * 2**20
CHANNEL: Final = (
    ("grpc.max_receive_message_length", MAX_BYTES + 2 * MAX_HEADER),
    ("grpc.max_send_message_length", MAX_BYTES + 2 * MAX_HEADER),
    ("grpc.enable_http_proxy", 0),
    ("grpc.so_reuseport", 0),
)
"""How both ends of the gate's socket are opened: for messages up to what a parcel holds, without proxies."""
MAX_SEAL: Final = 1024
_INDEX_LENGTH: Final = 4
_MAX_INDEX: Final = 2**16
_MAX_KIND: Final = 32
_MAX_NAME: Final = 64
_HELLO: Final = "Hello"
_BESIDE: Final = 2**20
_WITH_ARRAYS: Final = frozenset({"Plan", "Query", "Release"})
_UNREADABLE = (
    FedmotionError, DecodeError, ArithmeticError, AttributeError,
    LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Message)


def strict(decode: Callable[P, T]) -> Callable[P, T]:
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


def pack(header: Message, arrays: Mapping[str, bytes] | None = None) -> RecordDict:
    """A message with the bytes of its arrays."""
    kind, body = header.DESCRIPTOR.name, header.SerializeToString(deterministic=True)
    content = RecordDict({"header": ConfigRecord({"kind": kind, "body": body})})
    if arrays is not None:
        content["arrays"] = array_record(arrays)
    return content


def array_record(arrays: Mapping[str, bytes]) -> ArrayRecord:
    """Arrays as they travel: an index's length in four bytes, the index, and their bytes."""
    index = gate_pb2.Index(names=list(arrays), sizes=[len(data) for data in arrays.values()])
    told = index.SerializeToString(deterministic=True)
    return _record(b"".join([len(told).to_bytes(_INDEX_LENGTH, "big"), told, *arrays.values()]))


def _record(joined: bytes) -> ArrayRecord:
    return ArrayRecord({"arrays": Array(dtype="", shape=(), stype="fedmotion", data=joined)})


def unpack(content: RecordDict, kind: type[M]) -> M:
    """The header of a message of this `kind`; raises what `strict` turns into MALFORMED."""
    require_form(content)
    if kind_of(content) != kind.DESCRIPTOR.name:
        raise ValueError(f"expected {kind.DESCRIPTOR.name}, got {kind_of(content)!r}")
    header = kind()
    header.ParseFromString(body_of(content))
    return header


@strict
def require_form(content: RecordDict) -> None:
    """Refusal(MALFORMED) unless `content` has the records of its kind and no more, none of them too large."""
    kind = kind_of(content)
    expected = {"header", "arrays"} if kind in _WITH_ARRAYS else {"header"}
    if set(content.keys()) - {"seal"} != expected:
        raise ValueError(f"a {kind[:_MAX_KIND]} holds {' and '.join(sorted(expected))}")
    if set(content.config_records["header"]) != {"kind", "body"}:
        raise ValueError("a header has a kind and a body")
    body_of(content)
    if kind in _WITH_ARRAYS:
        arrays_of(content)
    if "seal" in content:
        seal_of(content)


@strict
def kind_of(content: RecordDict) -> str:
    """What kind of message it says it is."""
    kind = content.config_records["header"]["kind"]
    if not isinstance(kind, str) or len(kind) > _MAX_KIND:
        raise TypeError("a kind is a short text")
    return kind


@strict
def body_of(content: RecordDict) -> bytes:
    """The serialised header."""
    body = cast(bytes, content.config_records["header"]["body"])
    if not isinstance(body, bytes) or len(body) > MAX_HEADER:
        raise ValueError("too large a header, or none")
    return body


@strict
def seal_of(content: RecordDict) -> bytes:
    """The serialised seal."""
    record = content.config_records["seal"]
    body = cast(bytes, record["body"])
    if set(record) != {"body"} or not isinstance(body, bytes) or not 0 < len(body) <= MAX_SEAL:
        raise ValueError("too large a seal, or an empty one")
    return body


@strict
def joined_of(content: RecordDict) -> bytes:
    """The bytes of all its arrays in one, as they travel."""
    record = content.array_records["arrays"]
    if set(record) != {"arrays"}:
        raise ValueError("arrays travel as one")
    data = record["arrays"].data
    if len(data) > MAX_BYTES:
        raise ValueError("too large arrays")
    return data


@strict
def arrays_of(content: RecordDict) -> dict[str, memoryview]:
    """The bytes of its arrays, by name; nothing is copied."""
    view = memoryview(joined_of(content))
    start = _INDEX_LENGTH + int.from_bytes(view[:_INDEX_LENGTH], "big")
    if not _INDEX_LENGTH <= start <= min(len(view), _INDEX_LENGTH + _MAX_INDEX):
        raise ValueError("too large an index of arrays, or none")
    index = gate_pb2.Index.FromString(bytes(view[_INDEX_LENGTH:start]))
    ends = list(accumulate(index.sizes, initial=start))
    if len(ends) != len(index.names) + 1 or len(index.names) > MAX_ARRAYS or ends[-1] != len(view):
        raise ValueError("too many arrays, or other ones than their index says")
    found = {name: view[first:end] for name, (first, end) in zip(index.names, pairwise(ends), strict=True)}
    if len(found) != len(index.names):
        raise ValueError("two arrays of one name")
    return found


def encode_refusal(code: RefusalCode) -> RecordDict:
    return pack(gate_pb2.Refused(code=code.value))


@strict
def raise_refused(content: RecordDict) -> None:
    """Raise the Refusal that `content` is, if it is one."""
    if kind_of(content) == gate_pb2.Refused.DESCRIPTOR.name:
        raise Refusal(RefusalCode(unpack(content, gate_pb2.Refused).code))


def encode_hello(site: str = "") -> RecordDict:
    """Asks a node which site it stands for, or says so: a hint without a seal, from the messenger alone."""
    return RecordDict({"header": ConfigRecord({"kind": _HELLO, "body": site.encode()})})


@strict
def decode_hello(content: RecordDict) -> str:
    """The site that a node names."""
    require_form(content)
    site = body_of(content).decode()
    if kind_of(content) != _HELLO or len(site) > _MAX_NAME:
        raise TypeError("a site's name is a short text")
    return site


def folded(content: RecordDict) -> RecordDict:
    """`content` as it goes through Flower: one record, and its arrays in it unless they are long.

    Flower 1.41 stores and asks for each record, each Array and each part of one by itself, at every hop.
    """
    record = ConfigRecord({"kind": kind_of(content), "body": body_of(content)})
    if "seal" in content:
        record["seal"] = seal_of(content)
    if "arrays" not in content:
        return RecordDict({"message": record})
    if len(joined := joined_of(content)) > _BESIDE:
        return RecordDict({"message": record, "arrays": content["arrays"]})
    record["arrays"] = joined
    return RecordDict({"message": record})


@strict
def unfolded(told: RecordDict) -> RecordDict:
    """The inverse of `folded`."""
    record = cast(dict[str, Any], dict(told.config_records["message"]))
    content = RecordDict({"header": ConfigRecord({"kind": record.pop("kind"), "body": record.pop("body")})})
    if "seal" in record:
        content["seal"] = ConfigRecord({"body": record.pop("seal")})
    if "arrays" in told:
        content["arrays"] = told.array_records["arrays"]
    elif "arrays" in record:
        content["arrays"] = _record(record.pop("arrays"))
    if record or set(told.keys()) - {"message", "arrays"}:
        raise ValueError("a message holds more than it may")
    require_form(content)
    return content


@strict
def to_parcel(content: RecordDict) -> gate_pb2.Parcel:
    """`content` as it goes through the gate's socket, bytes untouched."""
    require_form(content)
    return gate_pb2.Parcel(
        kind=kind_of(content),
        body=body_of(content),
        seal=seal_of(content) if "seal" in content else b"",
        arrays=joined_of(content) if "arrays" in content else b"",
    )


@strict
def from_parcel(parcel: gate_pb2.Parcel) -> RecordDict:
    """The inverse of `to_parcel`."""
    content = RecordDict({"header": ConfigRecord({"kind": parcel.kind, "body": parcel.body})})
    if parcel.arrays or parcel.kind in _WITH_ARRAYS:
        content["arrays"] = _record(parcel.arrays)
    if parcel.seal:
        content["seal"] = ConfigRecord({"body": parcel.seal})
    require_form(content)
    return content
