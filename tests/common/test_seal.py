"""A seal says who, to whom, in answer to what; whatever is not exactly so is FOREIGN before it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from flwr.app import ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from common import parcel
from common.errors import InputError, Refusal, RefusalCode
from common.parcel import MAX_HEADER, MAX_SEAL, encode_refusal, from_parcel, to_parcel
from common.roster import Member
from common.seal import COORDINATOR, read_seal, seal, unseal
from common.signing import attest, attested, public_name
from common.wire import encode_query, encode_release
from protos import gate_pb2
from tests.common.test_wire import a_release
from tests.federation import key_of
from tests.small_site import ask, make_plan, make_state

PLAN = make_plan()
STATE = make_state(PLAN, 1)
SERVER, NORTH = key_of("server"), key_of("north")
QUERY = encode_query(ask(PLAN, STATE), STATE)
ASKED, SEAL = seal(QUERY, SERVER, COORDINATOR, "north")
ANSWER, ANSWERED = seal(encode_release(a_release()), NORTH, "north", COORDINATOR, SEAL.digest())


def question(content: RecordDict, site: str = "north") -> None:
    unseal(content, public_name(SERVER), COORDINATOR, site)


def answer(content: RecordDict, site: str = "north", answers: str = SEAL.digest()) -> None:
    unseal(content, public_name(key_of(site)), site, COORDINATOR, answers)


def refused(check: Callable[..., object], *arguments: Any, code: RefusalCode = RefusalCode.FOREIGN) -> None:
    with pytest.raises(Refusal) as caught:
        check(*arguments)
    assert caught.value.code is code


def with_seal(content: RecordDict, **fields: Any) -> RecordDict:
    """`content` under a seal of other words, not signed again."""
    told = gate_pb2.Seal.FromString(parcel.seal_of(content))
    for name, value in fields.items():
        setattr(told, name, value)
    return RecordDict({**content, "seal": ConfigRecord({"body": told.SerializeToString()})})


def with_header(content: RecordDict, kind: str, body: bytes) -> RecordDict:
    return RecordDict({**content, "header": ConfigRecord({"kind": kind, "body": body})})


def test_what_is_sealed_is_believed_through_the_gates_socket_too() -> None:
    question(ASKED)
    question(from_parcel(to_parcel(ASKED)))
    answer(ANSWER)
    answer(from_parcel(to_parcel(ANSWER)))
    assert ASKED["arrays"] is QUERY["arrays"]
    assert read_seal(ASKED) == SEAL and SEAL.digest() != ANSWERED.digest()


def test_two_seals_of_one_message_differ() -> None:
    again = seal(QUERY, SERVER, COORDINATOR, "north")[1]
    assert again.nonce != SEAL.nonce
    refused(answer, ANSWER, "north", again.digest())


def test_no_message_passes_for_another() -> None:
    """Sent to another site, reflected, another's, an answer as a question, a question as an answer."""
    refused(question, ASKED, "west")
    refused(question, ANSWER)
    refused(answer, ASKED)
    refused(answer, ANSWER, "west")
    refused(answer, seal(encode_refusal(RefusalCode.STALE), NORTH, "north", COORDINATOR)[0])
    as_server = seal(QUERY, NORTH, COORDINATOR, "north")[0]
    refused(question, as_server)
    refused(question, QUERY)
    refused(answer, seal(encode_release(a_release()), key_of("west"), "north", COORDINATOR, SEAL.digest())[0])


@pytest.mark.parametrize(
    "fields",
    [
        {"nonce": bytes(16)},
        {"answers": "0" * 64},
        {"answers": ""},
        {"sender": "west"},
        {"recipient": "west"},
        {"signature": "0" * 128},
        {"signature": ANSWERED.signature[:-2] + "00"},
    ],
    ids=str,
)
def test_every_word_of_a_seal_is_signed(fields: dict[str, Any]) -> None:
    refused(answer, with_seal(ANSWER, **fields))


def test_kind_and_body_are_signed() -> None:
    body = parcel.body_of(ANSWER)
    refused(answer, with_header(ANSWER, "Query", body))
    refused(answer, with_header(ANSWER, "Release", body + b"\x00"))
    refused(answer, with_header(ANSWER, "Release", b""))


@pytest.mark.parametrize(
    "fields",
    [
        {"nonce": b""}, {"nonce": bytes(17)}, {"signature": SEAL.signature.upper()}, {"signature": ""},
        {"signature": " " + SEAL.signature[1:]}, {"answers": "x"}, {"answers": "A" * 64}, {"sender": ""},
        {"sender": "a b"}, {"recipient": "../x"}, {"recipient": "n" * 65}, {"signature": "é" * 128},
    ],
    ids=str,
)  # fmt: skip
def test_a_seal_has_one_form(fields: dict[str, Any]) -> None:
    refused(read_seal, with_seal(ASKED, **fields), code=RefusalCode.MALFORMED)


@pytest.mark.parametrize(
    "record",
    [
        ConfigRecord(),
        ConfigRecord({"body": b""}),
        ConfigRecord({"body": "text"}),
        ConfigRecord({"body": [1]}),
        ConfigRecord({"body": bytes(MAX_SEAL + 1)}),
        ConfigRecord({"body": b"\xff\xff"}),
        ConfigRecord({"body": parcel.seal_of(ASKED), "more": 1}),
    ],
)  # fmt: skip
def test_a_seal_that_does_not_read_is_malformed(record: ConfigRecord) -> None:
    refused(question, RecordDict({**QUERY, "seal": record}), code=RefusalCode.MALFORMED)


def test_what_is_too_large_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    large = with_header(ASKED, "Query", bytes(MAX_HEADER + 1))
    crowded = RecordDict({**ASKED, "extra": ConfigRecord({"body": b""})})
    monkeypatch.setattr("common.seal.hashlib.sha256", lambda *_: pytest.fail("it was hashed"))
    for content in (large, crowded):
        refused(question, content, code=RefusalCode.MALFORMED)
    monkeypatch.setattr(parcel, "MAX_BYTES", 100)
    refused(question, ASKED, code=RefusalCode.MALFORMED)


def test_questions_and_answers_are_signed_for_different_purposes() -> None:
    """An answer whose question is left out is no question."""
    facts = ("Query", "0" * 64, COORDINATOR, "north", "0" * 32, "")
    assert attested(public_name(NORTH), attest(NORTH, "fedmotion answer", *facts), "fedmotion answer", *facts)
    assert not attested(
        public_name(NORTH), attest(NORTH, "fedmotion answer", *facts), "fedmotion question", *facts
    )


@given(st.lists(st.text(max_size=6), min_size=6, max_size=6), st.integers(0, 4))
def test_no_two_seals_share_what_is_signed(words: list[str], cut: int) -> None:
    """A letter moved from one field to the next is another signature and another digest."""
    moved = list(words)
    moved[cut], moved[cut + 1] = words[cut][:-1], words[cut][-1:] + words[cut + 1]
    same = moved == words
    assert (attest(NORTH, "p", *words) == attest(NORTH, "p", *moved)) == same
    first, second = (
        replace(SEAL, **dict(zip(list(asdict(SEAL)), w[:5], strict=True))) for w in (words, moved)
    )
    assert (first.digest() == second.digest()) == (words[:5] == moved[:5])


def test_no_site_may_have_the_servers_name() -> None:
    with pytest.raises(InputError, match="server's"):
        Member(site=COORDINATOR, key=public_name(NORTH), population=5)
