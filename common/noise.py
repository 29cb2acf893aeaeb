"""Randomness for privacy: a ChaCha20 keystream under a key from the operating system.

Used by `client.gate` (sampling, each person's draws, noise) and by the trusted server
of the reference trust model `central`; nothing else may import it. Seeded keys exist
only in the explicit test mode, whose output carries no guarantee. What the arithmetic
of `gaussian` leaves open, and how `on_grid` closes the most of it, is in docs/accounting.md.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray
from torch import Tensor

from common.vector import Vector

_SUMMANDS = 4
"""Independent Gaussians behind one noise value, see `gaussian`."""

GRID = 2.0**-20
"""Released values are multiples of this share of the noise's standard deviation, see `on_grid`."""

_BLOCK = 2**15  # values made at a time: what fits a processor's cache
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


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
    """One keystream of ChaCha20 (RFC 8439), read forward once, in the process that opened it.

    Threads take turns. A forked child would read what its parent reads: there, every draw
    raises RuntimeError.
    """

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
        self._forks = _forks
        self._one_at_a_time = threading.Lock()

    def _bytes(self, count: int) -> bytes:
        if self._forks != _forks:
            raise RuntimeError("a stream of randomness does not cross a fork: open one in the new process")
        with self._one_at_a_time:
            return self._encryptor.update(bytes(count))

    def words(self, count: int) -> NDArray[np.uint64]:
        """Uniform 64-bit integers, `[count]`."""
        return np.frombuffer(self._bytes(8 * count), dtype="<u8")

    def halves(self, count: int) -> NDArray[np.uint16]:
        """Uniform 16-bit integers, `[count]`."""
        return np.frombuffer(self._bytes(2 * count), dtype="<u2")

    def uniform(self, count: int) -> Tensor:
        """Uniform draws in (0, 1], `[count]` float64: the middles of 2^53 steps, rounded to doubles."""
        mantissas = self.words(count) >> np.uint64(11)
        return torch.from_numpy((mantissas.astype(np.float64) + 0.5) * 2.0**-53)

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
    values = torch.empty(dimension, dtype=torch.float64)
    for block in values.split(_BLOCK):
        draws = stream.normal(_SUMMANDS * len(block)).reshape(_SUMMANDS, len(block))
        torch.sum(draws, dim=0, out=block)
    return values.mul_(std / math.sqrt(_SUMMANDS))


def on_grid(noised: Vector, std: float) -> Vector:
    """`noised` rounded to the multiples of `GRID` x `std`, the step taken down to a power of two.

    A fixed public grid: how fine a double was before says nothing of what it was the sum
    of (Mironov 2012; Haney et al. 2022). It moves a value by less than 5e-7 of `std`.
    """
    if std == 0:
        return noised
    step = 2.0 ** math.floor(math.log2(GRID * std))
    return torch.round(noised / step) * step


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
