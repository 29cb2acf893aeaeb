"""Keys of pairs and what is sealed under them: the standards' own vectors, and what a key is bound to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from common.errors import Refusal
from common.secagg.agreement import (
    commitment,
    derived,
    exchange,
    opened,
    own_key,
    pair_key,
    public_half,
    sealed,
)
from common.secagg.messages import Advertise

ASKED = Advertise(run_id="run", plan_digest="ab" * 32, round=3, attempt="cd" * 16)
OTHERS = [
    replace(ASKED, run_id="other"),
    replace(ASKED, plan_digest="ac" * 32),
    replace(ASKED, round=4),
    replace(ASKED, attempt="ce" * 16),
]
ALICE, BOB = (
    X25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    for text in (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    )
)
LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


def test_the_exchange_is_that_of_rfc_7748() -> None:
    """Section 6.1."""
    assert public_half(ALICE) == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert public_half(BOB) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert exchange(ALICE, public_half(BOB)).hex() == exchange(BOB, public_half(ALICE)).hex() == shared


@pytest.mark.parametrize("public", LOW_ORDER)
def test_a_public_key_that_makes_every_secret_the_same_is_refused(public: str) -> None:
    with pytest.raises(Refusal, match="no X25519 key"):
        exchange(ALICE, public)


def test_keys_are_derived_as_in_rfc_5869() -> None:
    """Test case 3 of appendix A: no salt, no info; the first 32 of its 42 bytes."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derived(b"\x0b" * 22, b"").hex() == expected


def test_boxes_are_those_of_rfc_8439() -> None:
    """Section 2.8.2."""
    key, nonce = bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647")
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future,"
        b" sunscreen would be it."
    )
    box = ChaCha20Poly1305(key).encrypt(nonce, text, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert box[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert box[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_both_sites_of_a_pair_make_the_same_key_and_no_other_attempt_does() -> None:
    one = pair_key(ALICE, public_half(BOB), ASKED, "alice", "bob")
    assert one == pair_key(BOB, public_half(ALICE), ASKED, "bob", "alice")
    others = {pair_key(ALICE, public_half(BOB), asked, "alice", "bob") for asked in OTHERS}
    others |= {pair_key(ALICE, public_half(BOB), ASKED, "alice", "carol"), own_key(one, ASKED, "alice")}
    assert len(others) == len(OTHERS) + 2 and one not in others


def test_the_own_mask_and_the_commitment_are_of_one_attempt_and_site() -> None:
    for make in (own_key, commitment):
        made = {make(bytes(32), asked, "alice") for asked in (ASKED, *OTHERS)}
        made |= {make(bytes(32), ASKED, "bob"), make(b"\x01" + bytes(31), ASKED, "alice")}
        assert len(made) == len(OTHERS) + 3


def test_a_box_opens_for_its_recipient_in_its_attempt_alone() -> None:
    box = sealed(b"shares", ALICE, public_half(BOB), ASKED, "alice", "bob")
    assert opened(box, BOB, public_half(ALICE), ASKED, "alice", "bob") == b"shares"
    wrong = [(box, asked, "alice", "bob") for asked in OTHERS]
    wrong += [(box, ASKED, "bob", "alice"), (box, ASKED, "carol", "bob"), (box, ASKED, "alice", "carol")]
    wrong += [(box[:-1] + bytes([box[-1] ^ 1]), ASKED, "alice", "bob"), (b"", ASKED, "alice", "bob")]
    for given, asked, sender, recipient in wrong:
        with pytest.raises(Refusal, match="does not open"):
            opened(given, BOB, public_half(ALICE), asked, sender, recipient)
