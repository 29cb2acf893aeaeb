"""Where a person lies, by a hash of the person alone: nobody else's presence moves anyone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def position(person: str, seed: int) -> float:
    """Where `person` lies in [0, 1): a hash of the person, so nobody else's presence moves it."""
    digest = hashlib.sha256(f"{seed}:{person}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def borders(shares: Sequence[float], start: float, stop: float) -> list[float]:
    """Ends of consecutive intervals from `start` to `stop`, in proportion to `shares`; the last is `stop`."""
    total, reached, ends = sum(shares), 0.0, []
    for share in shares:
        reached += share / total
        ends.append(start + (stop - start) * reached)
    return [*ends[:-1], stop]
