"""An identity card: who a site or the coordinator is, in its own signature, for people to compare.

A card proves that its maker holds the key on it, and nothing about who the maker is: for that two people
read the fingerprint to each other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import InputError, Refusal, RefusalCode
from common.query import NAME, is_name, require
from common.signing import attest, attested, public_name
from common.storage import read_json, write_json
from common.witness import is_hex

CARD: Final = "card.json"
"""A holder's own card, in its folder."""
Role = Literal["site", "coordinator"]
_CARD: Final = "fedmotion identity card"
_MOST: Final = 16_384
_GROUPS: Final = 8
_SKEW: Final = 86_400


@dataclass(frozen=True, kw_only=True)
class Card:
    """`key` is the Ed25519 public key in hexadecimal; `valid_until` and `issued` seconds since 1970, UTC.

    Of a site: `node_key`, the public key (OpenSSH) with which its SuperNode connects, and its declared
    `population`. Of the coordinator: the `address` that sites connect to and its `authority`, the
    certificate (PEM) behind that address.
    """

    role: Role
    name: str
    key: str
    valid_until: int
    issued: int = 0
    node_key: str = ""
    population: int = 0
    address: str = ""
    authority: str = ""
    signature: str = ""

    def __post_init__(self) -> None:
        require("role", self.role, self.role in ("site", "coordinator"), "site or coordinator")
        require("name", self.name[:80], is_name(self.name), NAME)
        require("key", self.key[:80], is_hex(self.key, 32), "64 digits of hexadecimal")
        require("valid_until", self.valid_until, 0 < self.valid_until < 2**53, "a time in seconds")
        require("issued", self.issued, 0 <= self.issued < self.valid_until, "a time before valid_until")
        require("population", self.population, 0 <= self.population <= 10**9, "from 0 to 1e9")
        require("address", repr(self.address[:80]), _is_word(self.address), "host:port")
        for name, text in (
            ("node_key", self.node_key),
            ("address", self.address),
            ("authority", self.authority),
        ):
            require(name, f"{len(text)} characters", len(text) <= _MOST, f"at most {_MOST} characters")

    def sign(self, key: Ed25519PrivateKey) -> Self:
        """The card as its owner hands it out; ValueError where `key` is not the card's."""
        if public_name(key) != self.key:
            raise ValueError("a card is signed with its own key")
        return replace(self, signature=attest(key, _CARD, self._facts()))

    @property
    def fingerprint(self) -> str:
        """160 bits of SHA-256 over all but the signature, in eight groups of four: for people to compare."""
        digest = hashlib.sha256(self._facts().encode()).digest()[:20]
        text = base64.b32encode(digest).decode()
        return "-".join(text[i : i + 4] for i in range(0, 4 * _GROUPS, 4))

    @property
    def expired(self) -> bool:
        """Whether its time is over by this machine's clock."""
        return time.time() >= self.valid_until

    def require_current(self, whose: str, way_out: str) -> None:
        """Refusal(EXPIRED) where `whose` card has run out by this machine's clock, or is not of today yet."""
        if self.expired:
            raise Refusal(
                RefusalCode.EXPIRED, f"{whose} card was valid until {date_of(self.valid_until)}: {way_out}"
            )
        if self.issued > time.time() + _SKEW:
            raise Refusal(
                RefusalCode.EXPIRED,
                f"{whose} card is dated {date_of(self.issued)}, which is in the future here: check the clock"
                " of both machines",
            )

    def _facts(self) -> str:
        return json.dumps({**asdict(self), "signature": ""}, sort_keys=True)

    def write(self, path: Path) -> None:
        """On disk when this returns."""
        write_json(path, {"fedmotion": "card", **asdict(self)})

    @classmethod
    def read(cls, path: Path, role: Role) -> Self:
        """The card at `path`; InputError where it is missing, not of that `role` or not its owner's."""
        fields = read_json(path, "give the file that was handed over", "ask for it again")
        try:
            if fields.pop("fedmotion") != "card":
                raise ValueError("it is something else")
            card = cls(**fields)
            if not attested(card.key, card.signature, _CARD, card._facts()):
                raise ValueError("its signature is not its owner's: it was changed or damaged")
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
            raise InputError(f"{path} is no identity card: {error}; ask for it again") from None
        if card.role != role:
            raise InputError(f"{path} is the card of a {card.role}, not of a {role}")
        return card


def compare(card: Card, told: str | None, people: str) -> None:
    """Refusal(FOREIGN) unless `told`, which its `people` read out, is the fingerprint of `card`.

    The one on the card is not shown: whoever compares must have heard it from them.
    """
    if not told:
        raise Refusal(
            RefusalCode.FOREIGN,
            f"nobody has compared this card: ask {people} on another channel for the fingerprint that their"
            " own machine shows (fedmotion keys show), and give it as --fingerprint",
        )
    if _letters(told) != _letters(card.fingerprint):
        raise Refusal(
            RefusalCode.FOREIGN,
            f"the card is not the one whose fingerprint {people} told: ask them to read it out again, and for"
            " a new card if it still differs; nothing was taken over",
        )


def read_out(card: Card, told: str | None, people: str) -> None:
    """`compare`, asking at a terminal where `told` is not given; a script must give it."""
    if told is None and sys.stdin.isatty():
        print(f"type the fingerprint that {people} read out to you, on another channel than the file:")
        told = sys.stdin.readline()
    compare(card, told, people)


def date_of(seconds: int) -> str:
    """A time as people read it, UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "the far future"


def _is_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _letters(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter.isalnum())
