"""Masks: the keystream of the standard, gone where it is taken away again, uniform where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from common.secagg.masks import add_mask, centred, pair_sign, signed, words_of, zeros

# RFC 8439, appendix A.1, test vectors 1 and 2: key and nonce of zeros, counters 0 and 1.
STREAM = bytes.fromhex(
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
)


@pytest.mark.parametrize("bits", [32, 64])
def test_a_mask_is_the_keystream_of_rfc_8439(bits: int) -> None:
    words = zeros(8 * len(STREAM) // bits, bits)
    add_mask(words, bytes(32), 1)
    assert words.tobytes() == STREAM


@pytest.mark.parametrize("bits", [32, 64])
def test_a_mask_added_and_taken_away_is_gone_whatever_the_blocks(bits: int) -> None:
    random = torch.Generator().manual_seed(0)
    total = torch.randint(-(2**30), 2**30, (200_003,), generator=random)
    words = words_of(total, bits)
    add_mask(words, b"k" * 32, 1)
    assert not bool((centred(words) == total).any())
    add_mask(words, b"k" * 32, -1)
    assert torch.equal(centred(words), total)


@pytest.mark.parametrize(("bits", "dtype"), [(32, torch.int32), (64, torch.int64)])
def test_words_cross_the_wire_as_whole_numbers_of_the_same_bits(bits: int, dtype: torch.dtype) -> None:
    total = torch.tensor([0, 1, -1, 2**31 - 1, -(2**31)])
    sent = signed(words_of(total, bits))
    assert sent.dtype == dtype and torch.equal(sent.to(torch.int64), total)
    assert torch.equal(centred(words_of(sent, bits)), total)


def test_what_is_beyond_the_modulus_wraps_around() -> None:
    assert centred(words_of(torch.tensor([2**31, -(2**31) - 1]), 32)).tolist() == [-(2**31), 2**31 - 1]


def test_one_of_a_pair_adds_what_the_other_takes_away() -> None:
    assert (pair_sign("a", "b"), pair_sign("b", "a")) == (1, -1)


@pytest.mark.parametrize("bits", [32, 64])
def test_masked_words_are_uniform(bits: int) -> None:
    """Every byte of the words of a constant vector, by chi-square (T15)."""
    words = words_of(torch.full((2**16,), 7), bits)
    add_mask(words, b"u" * 32, 1)
    for place in range(bits // 8):
        counts = np.bincount(words.view(np.uint8).reshape(-1, bits // 8)[:, place], minlength=256)
        statistic = float(((counts - 256.0) ** 2 / 256.0).sum())
        assert 1e-6 < chi2.sf(statistic, 255) < 1 - 1e-6
