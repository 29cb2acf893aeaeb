"""The integer path: each step of the argument in docs/accounting.md, computed where it can be."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.accounting import MARGIN, epsilon
from common.discrete_gaussian import DiscreteGaussian
from common.errors import InputError
from common.event import MOST_STEPS, PrivacyEvent
from common.integer_noise import KERNEL, IntegerNoise, toward_zero, verified
from common.noise import Stream
from common.plan import MOST_VALUES


def pmf(variance: float, reach: int, centre: int = 0) -> np.ndarray[Any, Any]:
    """N_Z(centre, variance) on -reach .. reach."""
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-((x - centre) ** 2) / (2 * variance))
    result: np.ndarray[Any, Any] = weights / weights.sum()
    return result


@pytest.mark.parametrize("kernel", [0.6, 0.8, 1.0, 1.2])
def test_a_rounded_gaussian_is_a_discrete_one_within_the_stated_factor(kernel: float) -> None:
    """N(0, s^2 - r^2), each value rounded at random by a discrete Gaussian kernel of width r around it."""
    variance, shifts = 9.0, np.arange(-60, 61)
    y = np.linspace(-0.5, 0.5, 2001)[:-1] + 0.5 / 2000  # the fractional parts; the rest is a shift
    rounding = np.exp(-((shifts[:, None] - y) ** 2) / (2 * kernel**2))
    rounding /= rounding.sum(axis=0)
    found = np.zeros(41)
    for whole in range(-60, 61):
        density = np.exp(-((whole + y) ** 2) / (2 * (variance - kernel**2)))
        for place, x in enumerate(range(-20, 21)):
            found[place] += float((density * rounding[x - whole + 60]).mean()) if abs(x - whole) <= 60 else 0
    found /= math.sqrt(2 * math.pi * (variance - kernel**2))
    bound = 4 * math.exp(-2 * math.pi**2 * kernel**2)
    largest = float(np.abs(np.log(found / pmf(variance, 60)[40:81])).max())
    assert largest <= bound + 1e-8
    assert kernel > 0.6 or largest > 1e-6  # there is a difference to see
    assert 4 * math.exp(-2 * math.pi**2 * KERNEL**2) < 2.1e-34


@pytest.mark.parametrize(("share", "count"), [(0.7, 2), (0.7, 5), (1.0, 2), (1.0, 6), (1.3, 3)])
def test_a_sum_of_shares_is_a_discrete_gaussian_within_tau(share: float, count: int) -> None:
    one = pmf(share**2, 40)
    total = one
    for _ in range(count - 1):
        total = np.convolve(total, one)
    reach = (len(total) - 1) // 2
    inside = slice(reach - 12, reach + 13)
    tau = 10 * sum(math.exp(-2 * math.pi**2 * share**2 * k / (k + 1)) for k in range(1, count))
    ratio = np.abs(np.log(total[inside] / pmf(count * share**2, reach)[inside]))
    assert float(ratio.max()) <= tau + 1e-12
    assert share > 0.7 or float(ratio.max()) > 1e-6


@pytest.mark.parametrize("std", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("shift", [1, 2, 5])
def test_integer_renyi_moments_are_those_of_the_continuous_gaussian(std: float, shift: int) -> None:
    """E_Q[(P/Q)^l] = exp((l^2 - l) v^2 / (2 s^2)) for every whole l: the lattice is its own shift by l v."""
    with mpmath.workdps(60):
        variance = mpmath.mpf(std) ** 2
        line = range(-400, 401)
        q = [mpmath.exp(-(mpmath.mpf(x) ** 2) / (2 * variance)) for x in line]
        p = [mpmath.exp(-(mpmath.mpf(x - shift) ** 2) / (2 * variance)) for x in line]
        q_total, p_total = mpmath.fsum(q), mpmath.fsum(p)
        for order in (2, 3, 8, 20):
            moment = mpmath.fsum(
                (a / p_total) ** order * (b / q_total) ** (1 - order) for a, b in zip(p, q, strict=True)
            )
            exact = mpmath.exp((order**2 - order) * shift**2 / (2 * variance))
            assert abs(moment / exact - 1) < mpmath.mpf(10) ** -30


@pytest.mark.parametrize(("share", "shares", "sensitivity", "rate", "count"),
    [(4.0, 1, 4, 0.3, 1), (4.0, 1, 3, 1.0, 3), (4.0, 3, 7, 0.2, 4), (6.0, 2, 5, 0.5, 2)])  # fmt: skip
def test_the_claim_holds_for_the_exact_distribution_of_the_sum(
    share: float, shares: int, sensitivity: int, rate: float, count: int
) -> None:
    """One coordinate, every probability summed: delta at the claimed epsilon is at most the claimed delta."""
    noise = IntegerNoise(share_std=share, shares=shares, sensitivity=sensitivity, dimension=1)
    delta = 1e-4
    claim = epsilon([noise.event(rate, count)], delta, 1e-3)
    one = pmf(share**2, 60)
    still = one
    for _ in range(shares - 1):
        still = np.convolve(still, one)
    still = np.pad(still, sensitivity)
    moved = np.roll(still, sensitivity)
    mixed = (1 - rate) * still + rate * moved
    for upper, lower in ((mixed, still), (still, mixed)):
        assert hockey_stick(upper, lower, count, claim) <= delta
    assert hockey_stick(mixed, still, count, claim * 0.7) > delta  # and the claim is not far off


def hockey_stick(upper: Any, lower: Any, count: int, at: float) -> float:
    """sum (P^count - e^at Q^count)_+ from the losses of one release, on a grid that rounds them down."""
    kept = upper > 1e-18
    losses = np.floor((np.log(upper[kept]) - np.log(np.maximum(lower[kept], 1e-300))) / 1e-3).astype(int)
    weights = np.bincount(losses - losses.min(), weights=upper[kept])
    total, least = weights, int(losses.min())
    for _ in range(count - 1):
        total, least = np.convolve(total, weights), least + int(losses.min())
    epsilons = (np.arange(len(total)) + least) * 1e-3
    return float((total * np.clip(-np.expm1(at - epsilons), 0, None)).sum())


def test_the_effective_multiplier_is_slightly_below_and_never_above() -> None:
    noise = IntegerNoise(share_std=50.0, shares=4, sensitivity=100.0, dimension=10**5)
    assert noise.noise_multiplier < 1.0
    assert noise.noise_multiplier == pytest.approx(math.sqrt(1 - KERNEL**2 / 100**2), rel=1e-9)
    assert 1 - noise.noise_multiplier < 3e-4  # below 0.03 % at s = 100
    event = noise.event(0.01, 1000, 2)
    assert event == PrivacyEvent(
        noise_multiplier=noise.noise_multiplier, sampling_rate=0.01, count=1000, multiplicity=2
    )
    assert epsilon([event], 1e-5) == pytest.approx(3.98, rel=2e-3)


def test_the_slack_of_the_largest_plan_is_within_the_margin() -> None:
    noise = IntegerNoise(share_std=4.0, shares=100, sensitivity=1.0, dimension=MOST_VALUES)
    assert 0 < MOST_STEPS * noise.slack < MARGIN
    tau = 10 * sum(math.exp(-2 * math.pi**2 * 16 * k / (k + 1)) for k in range(1, 100))
    assert tau < 1e-67


def test_what_would_not_be_proven_is_refused() -> None:
    with pytest.raises(InputError, match="larger scale"):
        IntegerNoise(share_std=3.9, shares=2, sensitivity=1.0, dimension=1)
    good = IntegerNoise(share_std=4.0, shares=1, sensitivity=1.0, dimension=1)
    bad: dict[str, Any]
    for bad in ({"shares": 0}, {"sensitivity": 0.0}, {"sensitivity": math.nan}, {"dimension": 0}):
        with pytest.raises(InputError):
            replace(good, **bad)
    with pytest.raises(InputError, match="take fewer"):
        IntegerNoise(share_std=4.0, shares=1, sensitivity=1.0, dimension=10**20).event(0.5, 10**10)


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=40), st.integers(0, 30))
def test_rounding_toward_zero_never_grows_a_norm(values: list[float], bits: int) -> None:
    row = torch.tensor([values], dtype=torch.float64)
    rounded = toward_zero(row, 2**bits)
    exact = sum(abs(int(v * 2**bits)) ** 2 for v in values)
    assert sum(int(v) ** 2 for v in rounded[0]) == exact
    assert exact <= sum(Fraction(v) ** 2 for v in values) * 4**bits
    with pytest.raises(ValueError, match="power of two"):
        toward_zero(row, 3)


@pytest.mark.parametrize("bound", [1, 5, 2**31 - 1, 2**31])
def test_rows_are_verified_in_whole_numbers(bound: int) -> None:
    """At the bound a row passes, one unit above it is zero; sums that would wrap around are caught."""
    rows = torch.tensor([[bound, 0], [bound, 1], [0, -bound], [-(2**63), 0], [2**62, 2**62]])
    kept = verified(rows, bound)
    assert kept.tolist() == [[bound, 0], [0, 0], [0, -bound], [0, 0], [0, 0]]
    wide = torch.full((1, 70_000), bound)
    assert int(verified(wide, bound).abs().max()) == 0


def test_no_float_stands_between_the_rounded_contributions_and_the_released_sum() -> None:
    clipped = torch.randn(20, 50, dtype=torch.float64)
    clipped /= clipped.norm(dim=1, keepdim=True) * 1.000001
    rows = verified(toward_zero(clipped, 2**16), 2**16)
    total = rows.sum(dim=0)
    released = total + torch.from_numpy(DiscreteGaussian(300.0**2).draw(Stream(bytes(32)), 50))
    assert {rows.dtype, total.dtype, released.dtype} == {torch.int64}
    assert bool((rows != 0).any(dim=1).all())
