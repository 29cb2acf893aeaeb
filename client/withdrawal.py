"""Tombstones: who has withdrawn, known again by a mark that only this site's key can make."""

from __future__ import annotations

import hmac
import unicodedata
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PURPOSE = b"fedmotion withdrawal"


@dataclass(frozen=True)
class Tombstones:
    """The marks of the people who have withdrawn, in the order in which they did.

    A mark is HMAC-SHA256 of the name under a key derived from the site's: it says nobody's
    name, and names that look the same (Unicode NFC) are the same. Empty without a key.
    """

    key: bytes = field(default=b"", repr=False)
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: Ed25519PrivateKey, marks: tuple[str, ...]) -> Tombstones:
        return cls(hmac.digest(key.private_bytes_raw(), _PURPOSE, "sha256"), marks)

    def mark(self, person: str) -> str:
        return hmac.digest(self.key, unicodedata.normalize("NFC", person).encode(), "sha256").hex()

    def __contains__(self, person: str) -> bool:
        return bool(self.marks) and self.mark(person) in self.marks

    def first(self, count: int) -> Tombstones:
        """The oldest `count` of them."""
        return Tombstones(self.key, self.marks[:count])
