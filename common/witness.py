"""The head of a site's ledger, and its coordinator's word of having seen it: a restored backup is found out.

A head is a salted hash: it says that the ledger holds an entry and nothing about it,
nor how many there are. The site signs it; the coordinator countersigns the newest it
has seen of each site and sends that witness with the next query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import InputError
from common.signing import attest, attested

_HEAD = "fedmotion ledger head"
_WITNESS = "fedmotion ledger witness"


@dataclass(frozen=True, kw_only=True)
class Head:
    """The hash of one entry of a site's ledger, signed by the site; both in hexadecimal."""

    hash: str
    signature: str

    def __post_init__(self) -> None:
        _require_hex("head", self.hash, 32)
        _require_hex("head's signature", self.signature, 64)

    @classmethod
    def sign(cls, key: Ed25519PrivateKey, site: str, hash: str) -> Self:
        return cls(hash=hash, signature=attest(key, _HEAD, site, hash))

    def signed_by(self, public: str, site: str) -> bool:
        """Whether the ledger of `site`, whose public key is `public`, signed this head."""
        return attested(public, self.signature, _HEAD, site, self.hash)


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A head that the coordinator of one plan has seen of one site, in the coordinator's signature."""

    head: str
    signature: str

    def __post_init__(self) -> None:
        _require_hex("witnessed head", self.head, 32)
        _require_hex("witness's signature", self.signature, 64)

    @classmethod
    def countersign(cls, key: Ed25519PrivateKey, plan_digest: str, site: str, head: Head) -> Self:
        return cls(head=head.hash, signature=attest(key, _WITNESS, plan_digest, site, head.hash))

    def signed_by(self, public: str, plan_digest: str, site: str) -> bool:
        """Whether the coordinator whose public key is `public` vouches for this head of `site`."""
        return attested(public, self.signature, _WITNESS, plan_digest, site, self.head)


def is_hex(text: str, size: int) -> bool:
    """Whether `text` is `size` bytes in lower-case hexadecimal."""
    return re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", text) is not None


def _require_hex(name: str, text: str, size: int) -> None:
    if not is_hex(text, size):
        raise InputError(f"{name} is {text[:80]!r}: it must be {2 * size} digits of hexadecimal")
