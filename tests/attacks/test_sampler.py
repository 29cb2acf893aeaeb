"""The sampler is Poisson, as the accountant says: each unit by itself, at the stated rate (T5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.stats import chisquare

from client.mechanism import SampledGaussian
from common.noise import Source, Stream, poisson_sample
from tests.small_site import make_plan

UNITS, RATE = 12, 0.3
Draw = Callable[[int], list[int]]


def measured(draw: Draw, draws: int) -> tuple[float, float, float]:
    """Over `draws` samples: largest deviation of inclusion and of pairs in sigmas, p-value of the sizes."""
    single, pairs = np.zeros(UNITS), np.zeros((UNITS, UNITS))
    sizes = np.zeros(UNITS + 1)
    for start in range(0, draws, 50_000):
        drawn = np.zeros((min(50_000, draws - start), UNITS))
        for row, sample in zip(drawn, map(draw, range(start, draws)), strict=False):
            row[sample] = 1
        centred = (drawn - RATE) / math.sqrt(RATE * (1 - RATE))
        single += centred.sum(axis=0)
        pairs += centred.T @ centred
        sizes += np.bincount(drawn.sum(axis=1).astype(int), minlength=UNITS + 1)
    expected = np.array([math.comb(UNITS, k) * RATE**k * (1 - RATE) ** (UNITS - k) for k in range(UNITS + 1)])
    kept = expected * draws > 5
    observed = np.append(sizes[kept], sizes[~kept].sum())
    wanted = np.append(expected[kept], expected[~kept].sum()) * draws
    off = float(np.abs(single).max()) / math.sqrt(draws)
    related = float(np.abs(np.triu(pairs, 1)).max()) / math.sqrt(draws)
    return off, related, float(chisquare(observed, wanted).pvalue)


def check(draw: Draw, draws: int) -> None:
    """Inclusion and pairwise correlation within 4 sigma, sizes of samples p > 1e-4."""
    single, pairs, p = measured(draw, draws)
    assert single < 4, f"inclusion off by {single:.1f} sigma"
    assert pairs < 4, f"a pair related by {pairs:.1f} sigma"
    assert p > 1e-4, f"sizes of samples, p = {p:.2g}"


def shuffled(size: int, seed: int = 0) -> Draw:
    """A loader that goes through a shuffled list and starts over: every unit once an epoch."""
    random = np.random.default_rng(seed)

    def epochs() -> Iterator[list[int]]:
        while True:
            order = random.permutation(UNITS).tolist()
            yield from (order[i : i + size] for i in range(0, UNITS, size))

    batches = epochs()
    return lambda _: next(batches)


def fixed_size(seed: int = 0) -> Draw:
    """Of 12 units always three or four, 3.6 on average."""
    random = np.random.default_rng(seed)

    def draw(_: int) -> list[int]:
        chosen: list[int] = random.choice(UNITS, 4 if random.random() < 0.6 else 3, replace=False).tolist()
        return chosen

    return draw


def test_every_unit_enters_independently_with_the_stated_chance() -> None:
    stream = Stream(bytes(range(32)))
    check(lambda _: poisson_sample(stream, UNITS, RATE), 100_000)


@pytest.mark.attack
@pytest.mark.timeout(600)
def test_a_million_samples_of_the_mechanism_are_poisson() -> None:
    """From the operating system's entropy, a key a sample, as the gate draws them.

    Sixty-six pairs at 4 sigma fail a right sampler once in 200 times: twice in a row is a defect.
    """
    mechanism = SampledGaussian(plan=make_plan(sampling_rate=RATE), site="north", source=Source())

    def draw(turn: int) -> list[int]:
        return mechanism.sample(UNITS, turn, 0)

    try:
        check(draw, 1_000_000)
    except AssertionError:
        check(draw, 1_000_000)


@pytest.mark.parametrize("loader", [fixed_size(), shuffled(4), shuffled(3)])
def test_control_a_loader_that_is_not_poisson_is_noticed(loader: Draw) -> None:
    with pytest.raises(AssertionError):
        check(loader, 20_000)


@pytest.mark.parametrize("rate", [0.32, 0.28])
def test_control_another_rate_is_noticed(rate: float) -> None:
    stream = Stream(bytes(range(32)))
    with pytest.raises(AssertionError, match="inclusion"):
        check(lambda _: poisson_sample(stream, UNITS, rate), 20_000)


def test_control_a_repeated_key_is_noticed() -> None:
    """Ten keys for all rounds: every sample comes thousands of times."""
    mechanism = SampledGaussian(plan=make_plan(sampling_rate=RATE), site="north", source=Source(1))
    with pytest.raises(AssertionError):
        check(lambda turn: mechanism.sample(UNITS, turn % 10, 0), 20_000)
