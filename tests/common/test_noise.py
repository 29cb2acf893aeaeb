"""Sampling and noise: the distributions that the accountant assumes, and never the same draws twice."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, norm

from common.noise import PersonRandom, Source, Stream, gaussian, poisson_sample

KEY = bytes(range(32))


def equal_bins_p(values: torch.Tensor, bins: int = 100) -> float:
    """p-value of standard normal `values` over bins of equal probability."""
    edges = norm.ppf(np.linspace(0, 1, bins + 1)[1:-1])
    counts = np.bincount(np.searchsorted(edges, values.numpy()), minlength=bins)
    return float(chisquare(counts).pvalue)


def test_noise_has_the_stated_deviation_and_the_normal_shape() -> None:
    draws = gaussian(Stream(KEY), 3.0, 1_000_000)
    assert float(draws.var()) == pytest.approx(9.0, rel=0.006)
    assert abs(float(draws.mean())) < 4 * 3.0 / 1000
    assert equal_bins_p(draws / 3.0) > 1e-6
    pairs = draws[:500_000] * draws[500_000:] / 9  # halves of a Box-Muller pair must not be related
    assert abs(float(pairs.mean())) < 4 / math.sqrt(500_000)


def test_control_noise_of_half_the_deviation_is_noticed() -> None:
    draws = gaussian(Stream(KEY), 1.5, 100_000)
    assert float(draws.var()) != pytest.approx(9.0, rel=0.006)
    assert equal_bins_p(draws / 3.0) < 1e-6


def test_noise_is_finite_at_the_ends_of_the_uniform_range() -> None:
    assert bool(torch.isfinite(gaussian(Stream(KEY), 1e6 * 1e6, 10_000)).all())
    uniform = Stream(KEY).uniform(1_000_000)
    assert 0 < float(uniform.min()) < float(uniform.max()) < 1


def inclusion(samples: list[list[int]], units: int) -> tuple[float, float, float]:
    """Largest deviations of inclusion and of pairs in sigmas, and the p-value of the sizes (q = 0.3)."""
    q, n = 0.3, len(samples)
    drawn = np.zeros((n, units))
    for row, sample in zip(drawn, samples, strict=True):
        row[sample] = 1
    single = np.abs(drawn.mean(axis=0) - q) / math.sqrt(q * (1 - q) / n)
    centred = (drawn - q) / math.sqrt(q * (1 - q))
    pairs = np.abs(np.triu(centred.T @ centred, 1)) / math.sqrt(n)
    sizes = np.bincount(drawn.sum(axis=1).astype(int), minlength=units + 1)
    expected = np.array([math.comb(units, k) * q**k * (1 - q) ** (units - k) for k in range(units + 1)]) * n
    kept = expected > 5
    observed = np.append(sizes[kept], sizes[~kept].sum())
    wanted = np.append(expected[kept], expected[~kept].sum())
    return float(single.max()), float(pairs.max()), float(chisquare(observed, wanted).pvalue)


def test_every_unit_enters_independently_with_the_stated_chance() -> None:
    stream = Stream(KEY)
    single, pairs, p = inclusion([poisson_sample(stream, 12, 0.3) for _ in range(20_000)], 12)
    assert single < 4
    assert pairs < 4.5
    assert p > 1e-4


def test_control_a_sample_of_fixed_size_is_noticed() -> None:
    random = np.random.default_rng(0)
    sizes = [4 if i % 5 < 3 else 3 for i in range(20_000)]  # 3.6 of 12 on average
    _, pairs, p = inclusion([random.choice(12, k, replace=False).tolist() for k in sizes], 12)
    assert pairs > 4.5
    assert p < 1e-4


def test_a_rate_of_one_draws_everybody() -> None:
    assert poisson_sample(Stream(KEY), 5, 1.0) == [0, 1, 2, 3, 4]
    assert poisson_sample(Stream(KEY), 0, 0.5) == []


def test_keys_from_the_operating_system_never_repeat() -> None:
    source = Source()
    keys = {source.key("noise", "site", "run", 1, 0) for _ in range(10_000)}
    assert len(keys) == 10_000


def test_seeded_keys_differ_by_purpose_site_run_round_and_step() -> None:
    source = Source(1)
    purposes = [(p, s, r, n, t) for p in ("noise", "sample") for s in "ab" for r in "xy" for n in (1, 2)
                for t in (0, 1)]  # fmt: skip
    assert len({source.key(*purpose) for purpose in purposes}) == len(purposes)
    assert source.key("noise", "a", 11, 1) != source.key("noise", "a", 1, 11)


def test_forked_processes_share_no_keys() -> None:
    source = Source()
    read, write = os.pipe()
    children = []
    for _ in range(16):
        child = os.fork()
        if child == 0:
            os.write(write, b"".join(source.key("noise") for _ in range(4)))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    keys = {content[i : i + 32] for i in range(0, len(content), 32)}
    assert len(keys) == 64


def test_a_persons_draws_do_not_depend_on_who_else_is_there() -> None:
    together = PersonRandom(KEY, ["ann", "bob", "eve"])
    alone = PersonRandom(KEY, ["bob"])
    assert torch.equal(together.normal(7, 3)[1], alone.normal(7, 3)[0])
    assert torch.equal(together.uniform(5)[1], alone.uniform(5)[0])
    longer = PersonRandom(KEY, ["bob"]).uniform(9)[0]
    assert torch.equal(PersonRandom(KEY, ["bob"]).uniform(5)[0], longer[:5])


def test_persons_calls_and_keys_have_streams_of_their_own() -> None:
    rng = PersonRandom(KEY, ["ann", "bob", "0|ann"])
    first, second = rng.uniform(4), rng.uniform(4)
    other = PersonRandom(bytes(32), ["ann"]).uniform(4)
    rows = {tuple(row) for row in torch.cat([first, second, other]).tolist()}
    assert len(rows) == 7
