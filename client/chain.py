"""The hash chain of a ledger: each entry commits to all before it, and shows nothing of itself.

hash = SHA-256(domain | seq, 8 bytes | hash before, 32 bytes | salt, 16 bytes | body).
The salt is fresh for each entry, so a hash that leaves the site is a hiding commitment:
whoever does not hold the ledger cannot test a guess of what, or how much, is behind it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from common.errors import FedmotionError

DOMAIN = b"fedmotion ledger entry 2\x00"
_SALT = 16


class DamageError(FedmotionError):
    """The ledger is not as it was written (exit code 1); one line names the first bad entry."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


class Tip(NamedTuple):
    """Where a chain ends: the last entry's number, from 1, and hash; before the first entry 0 and zeros."""

    seq: int = 0
    hash: bytes = bytes(32)


class Entry(NamedTuple):
    """One change of the ledger; `body` is a JSON object with its `kind`, its time `at` and its facts."""

    seq: int
    body: str
    salt: bytes
    hash: bytes


def entry_hash(seq: int, before: bytes, salt: bytes, body: str) -> bytes:
    return hashlib.sha256(DOMAIN + seq.to_bytes(8) + before + salt + body.encode()).digest()


def write_entry(tip: Tip, kind: str, facts: dict[str, Any]) -> Entry:
    """The entry after `tip`, of this moment."""
    body = json.dumps({"kind": kind, "at": _now(), **facts}, sort_keys=True, allow_nan=False)
    salt = os.urandom(_SALT)
    return Entry(tip.seq + 1, body, salt, entry_hash(tip.seq + 1, tip.hash, salt, body))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def linked(rows: Iterable[tuple[Any, ...]], tip: Tip) -> Iterator[Entry]:
    """The entries of `rows` (seq, body, salt, hash); DamageError at the first that does not follow `tip`."""
    number, before = tip
    for row in rows:
        number += 1
        seq, body, salt, found = row
        if seq != number:
            raise DamageError(f"entry {number} is missing")
        if type(body) is not str or type(salt) is not bytes or len(salt) != _SALT:
            raise DamageError(f"entry {number} was changed: it has a column of another form")
        if entry_hash(number, before, salt, body) != found:
            raise DamageError(f"entry {number} was changed: its hash is not that of its content")
        before = found
        yield Entry(number, body, salt, found)
