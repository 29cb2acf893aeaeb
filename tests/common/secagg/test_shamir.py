"""Shares of secrets: any threshold of them gives the secret back, one less says nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import random

import pytest

from common.errors import InputError
from common.secagg.shamir import PRIME, SHARE, joined, split, well_formed


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, os.urandom(32)], ids=["0", "255", "any"])
def test_any_threshold_of_shares_gives_the_secret(secret: bytes) -> None:
    shares = dict(enumerate(split(secret, 3, range(1, 7)), 1))
    assert all(len(share) == SHARE and well_formed(share) for share in shares.values())
    for chosen in itertools.combinations(shares, 3):
        assert joined({index: shares[index] for index in chosen}) == secret
    assert joined(shares) == secret  # more than enough are as good


def test_of_one_share_too_few_every_secret_is_as_likely() -> None:
    """For shares below the threshold there is, for each secret, one polynomial through them."""
    index, share = 2, 12345
    for secret in (0, 1, 2**256 - 1):
        slope = (share - secret) * pow(index, -1, PRIME) % PRIME
        other = (secret + slope * 5) % PRIME
        points = {index: share.to_bytes(SHARE), 5: other.to_bytes(SHARE)}
        assert joined(points) == secret.to_bytes(32)


def test_shares_of_one_secret_are_made_anew_each_time() -> None:
    draws = [split(bytes(32), 2, [1, 2])[0] for _ in range(1000)]
    assert len(set(draws)) == 1000
    halves = sum(int.from_bytes(draw) > PRIME // 2 for draw in draws)
    assert 400 < halves < 600


def test_a_threshold_of_one_and_a_large_one() -> None:
    secret = os.urandom(32)
    assert joined({7: split(secret, 1, [7])[0]}) == secret
    shares = dict(zip(range(1, 101), split(secret, 51, range(1, 101)), strict=True))
    chosen = random.Random(0).sample(sorted(shares), 51)
    assert joined({index: shares[index] for index in chosen}) == secret


def test_a_wrong_share_gives_another_secret_or_none() -> None:
    secret = bytes(32)
    shares = dict(enumerate(split(secret, 2, [1, 2]), 1))
    shares[1] = ((int.from_bytes(shares[1]) + 1) % PRIME).to_bytes(SHARE)
    with contextlib.suppress(InputError):
        assert joined(shares) != secret
    with pytest.raises(InputError, match="no secret"):
        joined({1: (PRIME - 1).to_bytes(SHARE)})


@pytest.mark.parametrize("share", [b"", bytes(32), bytes(34), PRIME.to_bytes(SHARE), b"\xff" * SHARE])
def test_what_is_no_number_of_the_field_is_no_share(share: bytes) -> None:
    assert not well_formed(share)


def test_what_cannot_be_shared_is_refused() -> None:
    for secret, threshold, indices in (
        (b"", 1, [1]),
        (bytes(32), 0, [1]),
        (bytes(32), 1, [0]),
        (bytes(32), 2, [3, 3]),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            split(secret, threshold, indices)
