"""Shamir's sharing of 32-byte secrets: any `threshold` shares give the secret, fewer say nothing of it.

Shamir, "How to share a secret" (1979): a random polynomial of degree threshold - 1 whose value at 0 is
the secret, over the integers modulo `PRIME`; the share of index i is its value at i.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache

from common.errors import InputError

PRIME = 2**256 + 297
"""The least prime above every secret."""

SECRET = 32
SHARE = 33
"""Bytes of a secret and of a share."""


def split(secret: bytes, threshold: int, indices: Sequence[int]) -> list[bytes]:
    """The shares of `secret` for `indices`, distinct and from 1: 33 bytes each."""
    if len(secret) != SECRET or threshold < 1 or min(indices) < 1 or len(set(indices)) < len(indices):
        raise ValueError("a secret has 32 bytes, a threshold and an index are 1 or more")
    polynomial = [int.from_bytes(os.urandom(2 * SECRET)) % PRIME for _ in range(threshold - 1)]
    polynomial.append(int.from_bytes(secret))
    return [_value(polynomial, index).to_bytes(SHARE) for index in indices]


def _value(polynomial: Sequence[int], at: int) -> int:
    """Horner's rule, highest coefficient first."""
    value = 0
    for coefficient in polynomial:
        value = (value * at + coefficient) % PRIME
    return value


def well_formed(share: bytes) -> bool:
    """Whether `share` is a number of the field in 33 bytes."""
    return len(share) == SHARE and int.from_bytes(share) < PRIME


@lru_cache(maxsize=32)
def weights(indices: tuple[int, ...]) -> list[int]:
    """Lagrange's weights at 0 of the points `indices`."""
    found = []
    for index in indices:
        above = below = 1
        for other in indices:
            if other != index:
                above, below = above * other % PRIME, below * (other - index) % PRIME
        found.append(above * pow(below, -1, PRIME) % PRIME)
    return found


def joined(shares: Mapping[int, bytes]) -> bytes:
    """The secret behind `shares` by index, as many as the threshold; InputError where they fit no secret.

    Shares of which some are wrong mostly give another secret: the caller compares it with what it knows.
    """
    factors = weights(tuple(shares))
    value = sum(w * int.from_bytes(s) for w, s in zip(factors, shares.values(), strict=True)) % PRIME
    if value >= 2 ** (8 * SECRET):
        raise InputError("the shares are of no secret: one of them is wrong")
    return value.to_bytes(SECRET)
