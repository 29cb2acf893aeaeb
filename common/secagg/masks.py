"""Masks on vectors of whole numbers modulo 2^32 or 2^64: the keystream of ChaCha20 (RFC 8439) under a key.

A key is of one attempt and masks one vector; the sites of a pair add and subtract the same mask, so that
it is gone from their sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray
from torch import Tensor, from_numpy

Words = NDArray[Any]
"""`[dimension]` uint32 or uint64."""

_BLOCK = 2**16


def words_of(total: Tensor, bits: int) -> Words:
    """`[dimension]` int32 or int64 as new words modulo 2^`bits`."""
    unsigned = total.contiguous().numpy()
    return unsigned.view(f"u{unsigned.dtype.itemsize}").astype(_dtype(bits))


def signed(words: Words) -> Tensor:
    """The words as the tensor of int32 or int64 that a Release holds: the same bits."""
    return from_numpy(words.view(f"i{words.dtype.itemsize}"))


def centred(words: Words) -> Tensor:
    """`[dimension]` int64: each word as the number next to zero that it stands for."""
    return from_numpy(words.view(f"i{words.dtype.itemsize}").astype(np.int64))


def zeros(dimension: int, bits: int) -> Words:
    return np.zeros(dimension, dtype=_dtype(bits))


def add_mask(words: Words, key: bytes, sign: int) -> None:
    """Add the mask of `key` to `words` in place, or take it away where `sign` is -1."""
    encryptor = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    operation = np.add if sign > 0 else np.subtract
    size, nothing = words.dtype.itemsize, bytes(_BLOCK * words.dtype.itemsize)
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK]
        stream = encryptor.update(nothing[: size * len(block)])
        operation(block, np.frombuffer(stream, dtype=f"<u{size}"), out=block)


def pair_sign(site: str, other: str) -> int:
    """+1 for the site whose name comes first, -1 for the other."""
    return 1 if site < other else -1


def _dtype(bits: int) -> str:
    return f"<u{bits // 8}"
