"""An identity card: who a site or the coordinator is, in its own signature, for people to compare.

A card proves that its maker holds the key on it, and nothing about who the maker is: for that two people
read the fingerprint to each other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import InputError
from common.query import NAME, is_name, require
from common.signing import attest, attested, public_name
from common.storage import read_json, write_json
from common.witness import is_hex

Role = Literal["site", "coordinator"]
_CARD: Final = "fedmotion identity card"
_MOST: Final = 16_384
_GROUPS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Card:
    """`key` is the Ed25519 public key in hexadecimal; `valid_until` seconds since 1970, UTC.

    Of a site: `node_key`, the public key (OpenSSH) with which its SuperNode connects, and its declared
    `population`. Of the coordinator: the `address` that sites connect to and its `authority`, the
    certificate (PEM) behind that address.
    """

    role: Role
    name: str
    key: str
    valid_until: int
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
        require("population", self.population, 0 <= self.population <= 10**9, "from 0 to 1e9")
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
