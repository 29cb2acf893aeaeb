"""Keys that the server believes no longer, read anew at every round: `roster/revoked.json`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.card import Card
from common.errors import InputError
from common.storage import read_json, write_json
from common.witness import is_hex

REVOKED: Final = Path("roster") / "revoked.json"
_FORMAT: Final = "revoked keys"


@dataclass(frozen=True, kw_only=True)
class Revoked:
    """One identity key, in hexadecimal, of the site of that name; `at` is when, UTC."""

    key: str
    site: str
    at: str


def revoked(folder: Path) -> frozenset[str]:
    """Revoked public keys in hexadecimal, of the server's `folder`: `member.key in revoked(folder)`.

    None where there is no file; InputError where it is damaged: nobody is believed on half a list.
    """
    return frozenset(each.key for each in read_revoked(folder))


def read_revoked(folder: Path) -> tuple[Revoked, ...]:
    """The whole list, the oldest first."""
    path = folder / REVOKED
    if not path.exists():
        return ()
    fields = read_json(path, "restore it", "restore it from a backup")
    try:
        if fields["fedmotion"] != _FORMAT:
            raise ValueError("it is something else")
        found = tuple(Revoked(**each) for each in fields["keys"])
        if not all(is_hex(each.key, 32) for each in found):
            raise ValueError("a key is 64 digits of hexadecimal")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}; restore it from a backup") from None
    return found


def revoke(folder: Path, card: Card) -> bool:
    """Put the key of `card` on the list, on disk when this returns; False where it was there already."""
    known = read_revoked(folder)
    if card.key in {each.key for each in known}:
        return False
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entries: list[dict[str, Any]] = [vars(each) for each in known]
    entries.append({"key": card.key, "site": card.name, "at": at})
    write_json(folder / REVOKED, {"fedmotion": _FORMAT, "keys": entries})
    return True
