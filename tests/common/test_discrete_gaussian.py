"""Integer noise: the exact table, the distribution drawn, and whole numbers all the way."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.stats import chisquare

from common import discrete_gaussian
from common.discrete_gaussian import DiscreteGaussian, Integers
from common.noise import Source, Stream

KEY = bytes(range(32))


def masses(std: float, reach: float = 14.0) -> tuple[Integers, np.ndarray[Any, Any]]:
    """The support within `reach` deviations and its probabilities in doubles."""
    x = np.arange(-int(reach * std) - 2, int(reach * std) + 3)
    weights = np.exp(-(x.astype(float) ** 2) / (2 * std**2))
    return x, weights / weights.sum()


def fit_p(values: Integers, std: float) -> float:
    """p-value of `values` against N_Z(0, std^2) over at most 80 bins."""
    x, probability = masses(std)
    edges = np.unique(np.round(np.linspace(-3.5 * std, 3.5 * std, 79)))
    observed = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    expected = np.bincount(np.searchsorted(edges, x), weights=probability, minlength=len(edges) + 1)
    return float(chisquare(observed, expected / expected.sum() * len(values)).pvalue)


def check(values: Integers, std: float) -> None:
    """Variance within 0.6 % at 10^6 draws (in proportion below), and the shape."""
    allowed = 0.006 * max(1.0, (1e6 / len(values)) ** 0.5)
    assert abs(float((values.astype(float) ** 2).mean()) / std**2 - 1) < allowed
    assert fit_p(values, std) > 1e-6


@pytest.mark.parametrize("std", [4.0, 64.0, 1000.0, 3000.0, 40_000.0])
def test_draws_have_the_stated_variance_and_shape(std: float) -> None:
    check(DiscreteGaussian(std**2).draw(Stream(KEY), 200_000), std)


@pytest.mark.attack
@pytest.mark.timeout(600)
@pytest.mark.parametrize("std", [1.0, 4.0, 64.0, 1000.0, 3000.0, 40_000.0, 2e5])
def test_a_million_draws_have_the_stated_variance_and_shape(std: float) -> None:
    values = DiscreteGaussian(std**2).draw(Stream(Source().key("test")), 1_000_000)
    if std == 1.0:  # the variance of N_Z(0, 1) is not quite 1
        x, probability = masses(std)
        assert float((values**2).mean()) == pytest.approx(float((probability * x**2).sum()), rel=0.006)
        assert fit_p(values, std) > 1e-6
    else:
        check(values, std)


@pytest.mark.parametrize("sabotage", ["half the deviation", "rounded continuous", "one seed"])
def test_control_other_noise_is_noticed(sabotage: str) -> None:
    if sabotage == "half the deviation":
        values = DiscreteGaussian(16.0).draw(Stream(KEY), 200_000)
    elif sabotage == "rounded continuous":  # toward zero: what a careless cast does
        values = (np.random.default_rng(0).normal(size=200_000) * 8).astype(np.int64)
    else:
        values = np.tile(DiscreteGaussian(64.0).draw(Stream(KEY), 1000), 200)
    with pytest.raises(AssertionError):
        check(values, 8.0)


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(16), Fraction(22500, 7), Fraction(900**2)])
def test_the_table_is_exact_to_its_last_bits(variance: Fraction) -> None:
    """Against 600 bits of mpmath: every threshold is the cumulative probability rounded down."""
    thresholds, least = discrete_gaussian._thresholds(variance)
    with mpmath.workprec(600):
        factor = -mpmath.mpf(variance.denominator) / (2 * variance.numerator)
        line = [mpmath.exp(factor * x * x) for x in range(least - 400, -least + 401)]
        total, passed = mpmath.fsum(line), mpmath.fsum(line[:400])
        assert passed / total < mpmath.mpf(2) ** -330
        for weight, threshold in zip(line[400:-401], thresholds, strict=True):
            passed += weight
            exact = passed / total * mpmath.mpf(2) ** 320
            assert abs(exact - threshold) <= 1.01
    assert len(thresholds) < 2**16
    assert thresholds == sorted(thresholds)


def test_a_wide_noise_is_the_sum_it_is_said_to_be() -> None:
    """Exact convolution of the two parts against N_Z(0, s^2), at a width where it can be summed."""
    std = 1500.0
    wide = discrete_gaussian._source(Fraction(std**2))
    assert isinstance(wide, discrete_gaussian._Wide)
    step = wide._step
    fine, coarse = 8.0 * step, (std**2 / step**2 - 64) ** 0.5
    t = fine * coarse / (fine**2 + step**2 * coarse**2) ** 0.5
    assert t > 7
    assert 4 * mpmath.exp(-2 * mpmath.pi**2 * mpmath.mpf(t) ** 2) < discrete_gaussian.CONVOLUTION_ERROR
    x, probability = masses(fine, 12)
    y, other = masses(coarse, 12)
    found = np.zeros(8001)
    for value, weight in zip(y * step, other, strict=True):
        places = x + value + 4000
        inside = (places >= 0) & (places < 8001)
        found[places[inside]] += weight * probability[inside]
    line = np.arange(-4000, 4001)
    exact = np.exp(-(line**2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi))
    assert np.allclose(found, exact, rtol=1e-9, atol=0)


def test_ties_at_the_first_bits_are_decided_by_the_last() -> None:
    """A stream that puts every draw on a threshold's leading 64 bits, then just below and just at it."""
    table = discrete_gaussian._source(Fraction(16))
    assert isinstance(table, discrete_gaussian._Table)
    for index in (30, len(table._thresholds) // 2, len(table._thresholds) - 30):
        threshold = table._thresholds[index]
        for drawn, expected in ((threshold - 1, index), (threshold, index + 1), (threshold + 1, index + 1)):
            assert int(table.draw(Scripted(drawn), 1)[0]) == expected + table._least  # type: ignore[arg-type]


class Scripted:
    """A stream whose next 320 bits are known."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def halves(self, count: int) -> np.ndarray[Any, Any]:
        return np.array([self._bits >> 304] * count, dtype=np.uint16)

    def words(self, count: int) -> np.ndarray[Any, Any]:
        if count == 1:  # the next 48 bits, in the upper part of a word
            return np.array([(self._bits >> 256 & (2**48 - 1)) << 16], dtype=np.uint64)
        return np.frombuffer((self._bits & (2**256 - 1)).to_bytes(32, "little"), dtype="<u8")


def test_no_floating_point_takes_part_in_a_draw() -> None:
    for std in (8, 5000):
        source = discrete_gaussian._source(Fraction(std**2))
        parts = [source] if isinstance(source, discrete_gaussian._Table) else [source._fine, source._coarse]
        for part in parts:
            for name, value in vars(part).items():
                kinds = {type(item) for item in value} if isinstance(value, list) else {type(value)}
                assert float not in kinds, name
                assert not isinstance(value, np.ndarray) or np.issubdtype(value.dtype, np.integer), name
        assert DiscreteGaussian(std**2).draw(Stream(KEY), 10).dtype == np.int64


@pytest.mark.parametrize("variance", [0.0, 0.1, 2.0**81])
def test_a_width_out_of_range_is_refused(variance: float) -> None:
    with pytest.raises(ValueError, match="standard deviation"):
        DiscreteGaussian(variance)


def test_blocks_do_not_repeat() -> None:
    draws = DiscreteGaussian(1e6).draw(Stream(KEY), 2**17 + 5)
    assert not np.array_equal(draws[: 2**16], draws[2**16 : 2**17])
    assert len(draws) == 2**17 + 5
