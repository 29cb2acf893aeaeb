"""Heads and witnesses: signed for one site, one plan and one purpose; nothing else in their place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import wire
from common.errors import InputError
from common.query import Acceptance
from common.signing import public_name, sign, verify
from common.witness import Head, Witness
from tests.small_site import ask, make_plan, make_state

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
PUBLIC = public_name(KEY)
HEAD = Head.sign(KEY, "north", "ab" * 32)
WITNESS = Witness.countersign(KEY, "plan", "north", HEAD)


def test_a_head_is_one_sites() -> None:
    assert HEAD.signed_by(PUBLIC, "north")
    assert not HEAD.signed_by(PUBLIC, "south")
    assert not HEAD.signed_by(public_name(OTHER), "north")
    assert not replace(HEAD, hash="cd" * 32).signed_by(PUBLIC, "north")
    assert not HEAD.signed_by("", "north")


def test_a_witness_is_of_one_plan_and_one_site() -> None:
    assert WITNESS.signed_by(PUBLIC, "plan", "north")
    for public, plan, site in ((PUBLIC, "p", "north"), (PUBLIC, "plan", "n"), ("", "plan", "north")):
        assert not WITNESS.signed_by(public, plan, site)


def test_no_signature_serves_another_purpose() -> None:
    """A site cannot pass a coordinator's checkpoint or head signature for its witness, nor the reverse."""
    assert not replace(HEAD, signature=WITNESS.signature).signed_by(PUBLIC, "north")
    assert not replace(WITNESS, signature=HEAD.signature).signed_by(PUBLIC, "plan", "north")
    entry = sign(KEY, b"checkpoint")
    assert not replace(HEAD, signature=entry["signature"]).signed_by(PUBLIC, "north")
    assert not verify(PUBLIC, b"checkpoint", {**entry, "signature": HEAD.signature})


@pytest.mark.parametrize("text", ["", "AB" * 32, "ab" * 31, "ab" * 33, "zz" * 32, "ab" * 31 + "a\n"])
def test_a_head_is_exactly_so_long(text: str) -> None:
    with pytest.raises(InputError, match="hexadecimal"):
        Head(hash=text, signature="ab" * 64)
    with pytest.raises(InputError, match="hexadecimal"):
        Witness(head=text, signature="ab" * 64)
    if text:
        with pytest.raises(InputError, match="coordinator_key"):
            make_plan(coordinator_key=text)


def test_heads_and_witnesses_arrive_and_leave_the_question_as_it_was() -> None:
    plan = make_plan(coordinator_key=PUBLIC)
    state = make_state(plan, 1)
    query = ask(plan, state)
    own = replace(query, witness=WITNESS)
    assert own.digest("local") == query.digest("local")
    content = wire.encode_query(query, state)
    for found, arrived in (wire.decode_query(wire.for_site(content, own)), (own, state)):
        assert found == own and arrived.digest() == state.digest()
    assert wire.decode_plan(wire.encode_plan(plan, {}))[0].coordinator_key == PUBLIC
    acceptance = Acceptance(site="north", plan_digest="d", declared_population=7, site_key=PUBLIC, head=HEAD)
    assert wire.decode_acceptance(wire.encode_acceptance(acceptance)) == acceptance
