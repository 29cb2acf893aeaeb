"""Randomness for privacy: a ChaCha20 keystream under a key from the operating system.

Used by `client.gate` (sampling, each person's draws, noise) and by the trusted server
of the reference trust model `central`; nothing else may import it. Seeded keys exist
only in the explicit test mode, whose output carries no guarantee.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray
from torch import Tensor

from common.vector import Vector

_SUMMANDS = 4
"""Independent Gaussians behind one noise value, see `gaussian`."""


class Source:
    """Keys for streams: fresh from the operating system, or derived from a seed.

    A key serves one purpose of one round and is never reused: with no seed, every
    call returns 32 new bytes of `os.urandom`. A seed is the test mode's, or 32 such bytes
    as a number, kept to make one round's draws again.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed

    def key(self, *purpose: str | int) -> bytes:
        """32 bytes for `purpose`; with a seed, a function of the seed and `purpose`."""
        if self._seed is None:
            return os.urandom(32)
        return hashlib.sha256(repr((self._seed, *purpose)).encode()).digest()


def _words(key: bytes, nonce: bytes, count: int) -> NDArray[np.uint64]:
    encryptor = Cipher(algorithms.ChaCha20(key, nonce), mode=None).encryptor()
    return np.frombuffer(encryptor.update(bytes(8 * count)), dtype="<u8")


class Stream:
    """One keystream of ChaCha20 (RFC 8439), read forward once."""

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()

    def uniform(self, count: int) -> Tensor:
        """Uniform draws on the odd multiples of 2^-54 in (0, 1): 53 bits, `[count]` float64."""
        words = np.frombuffer(self._encryptor.update(bytes(8 * count)), dtype="<u8")
        return torch.from_numpy(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)

    def normal(self, count: int) -> Tensor:
        """Standard normal draws by Box and Muller (1958), `[count]` float64."""
        half = (count + 1) // 2
        radius = torch.sqrt(-2 * torch.log(self.uniform(half)))
        angle = 2 * math.pi * self.uniform(half)
        return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)])[:count]


def gaussian(stream: Stream, std: float, dimension: int) -> Vector:
    """Noise N(0, std^2) in every coordinate, `[dimension]` float64.

    Each value is the scaled sum of four independent Gaussians, so that its low bits do
    not reveal the uniforms behind it (Holohan and Braghin 2021).
    """
    draws = stream.normal(_SUMMANDS * dimension).reshape(_SUMMANDS, dimension)
    return draws.sum(dim=0) * (std / math.sqrt(_SUMMANDS))


def poisson_sample(stream: Stream, units: int, rate: float) -> list[int]:
    """Indices of a Poisson sample: each of `units` enters independently with probability `rate`."""
    if rate >= 1:
        return list(range(units))
    return torch.nonzero(stream.uniform(units) < rate).flatten().tolist()


class PersonRandom:
    """Randomness for a batch of persons, one stream a person: row u is u's alone.

    A person's stream is ChaCha20 under `key` (one a step) with a nonce hashed from the
    person, so a row is the same whichever other rows there are.
    """

    def __init__(self, key: bytes, persons: Sequence[str]) -> None:
        self._key = key
        self._persons = persons
        self._calls = 0

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in (0, 1), `[persons, *shape]` float32, from 24 bits each."""
        count = math.prod(shape)
        pairs = np.stack([self._row(person, (count + 1) // 2) for person in self._persons])
        self._calls += 1
        halves = pairs.view("<u4")[:, :count] >> np.uint32(8)
        values = torch.from_numpy((halves.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-24))
        return values.reshape(len(self._persons), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws, `[persons, *shape]` float32."""
        count = math.prod(shape)
        half = (count + 1) // 2
        pairs = self.uniform(2, half)
        radius = torch.sqrt(-2 * torch.log(pairs[:, 0]))
        angle = 2 * math.pi * pairs[:, 1]
        values = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
        return values[:, :count].reshape(len(self._persons), *shape)

    def _row(self, person: str, words: int) -> NDArray[np.uint64]:
        name = hashlib.blake2b(f"{self._calls}|{person}".encode(), digest_size=12).digest()
        return _words(self._key, bytes(4) + name, words)
