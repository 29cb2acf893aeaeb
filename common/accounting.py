"""Epsilon from events: privacy-loss distributions, add/remove, always rounded up.

The accountant is the PLD of dp-accounting with the connect-the-dots discretisation
(Doroshenko et al. 2022), an upper bound at every interval. A loss so large that its
distribution would fill the memory is bounded by a Renyi divergence instead, so that no
plan can exhaust a site before it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
from dp_accounting.pld import privacy_loss_distribution as pld
from scipy.special import gammaln, logsumexp

from common.errors import InputError
from common.query import PrivacyEvent

ACCOUNTANT = "PLD (dp-accounting)"
CLAIM_INTERVAL = 1e-4
DISPLAY_INTERVAL = 1e-3
_MAX_MULTIPLIER = 1e5
_FINE, _COARSE = 20.0, 100.0  # bounds up to which the fine interval, and any interval, is affordable
_ORDERS = np.array([*range(2, 65), 128, 256, 512])


@lru_cache(maxsize=64)
def _single(noise_multiplier: float, sampling_rate: float, interval: float) -> pld.PrivacyLossDistribution:
    return pld.from_gaussian_mechanism(
        noise_multiplier, value_discretization_interval=interval, sampling_prob=sampling_rate
    )


@lru_cache(maxsize=1024)
def _epsilon(merged: tuple[tuple[float, float, int], ...], delta: float, interval: float) -> float:
    bound = _renyi_epsilon(merged, delta)
    if not bound <= _COARSE:
        return bound
    if bound > _FINE:
        interval = max(interval, DISPLAY_INTERVAL)
    composed = None
    for noise_multiplier, sampling_rate, count in merged:
        part = _single(noise_multiplier, sampling_rate, interval).self_compose(count)
        composed = part if composed is None else composed.compose(part)
    return 0.0 if composed is None else float(composed.get_epsilon_for_delta(delta))


def _renyi_epsilon(merged: tuple[tuple[float, float, int], ...], delta: float) -> float:
    """An upper bound on epsilon, loose and cheap (conversion: Canonne et al. 2020, proposition 12)."""
    total = np.zeros(len(_ORDERS))
    for noise_multiplier, sampling_rate, count in merged:
        total += count * np.array([_renyi(int(a), noise_multiplier, sampling_rate) for a in _ORDERS])
    found = total + np.log1p(-1 / _ORDERS) - (math.log(delta) + np.log(_ORDERS)) / (_ORDERS - 1)
    return max(0.0, float(found.min()))


@lru_cache(maxsize=4096)
def _renyi(order: int, noise_multiplier: float, sampling_rate: float) -> float:
    """Renyi divergence of the Poisson-sampled Gaussian (Mironov, Talwar, Zhang 2019, section 3.3)."""
    if sampling_rate == 1:
        return order / (2 * noise_multiplier**2)
    k = np.arange(order + 1)
    terms = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1) + k * math.log(sampling_rate)
    terms += (order - k) * math.log1p(-sampling_rate) + (k * k - k) / (2 * noise_multiplier**2)
    return float(logsumexp(terms)) / (order - 1)


def epsilon(events: Iterable[PrivacyEvent], delta: float, interval: float = CLAIM_INTERVAL) -> float:
    """The epsilon at `delta` of composing `events`, rounded up at the sixth decimal.

    Computed from event counts in a canonical order, so that the same multiset gives
    the same number to the bit. Infinite when an event carries no noise.
    """
    counts: dict[tuple[float, float], int] = {}
    for event in events:
        if event.count > 0:
            key = (event.noise_multiplier, event.sampling_rate)
            counts[key] = counts.get(key, 0) + event.count
    if any(multiplier == 0 for multiplier, _ in counts):
        return math.inf
    merged = tuple((z, q, count) for (z, q), count in sorted(counts.items()))
    value = _epsilon(merged, delta, interval)
    return value if math.isinf(value) else math.ceil(value * 1e6) / 1e6


def calibrate(target: float, delta: float, sampling_rate: float, count: int) -> float:
    """The smallest noise multiplier (to 0.05 %, never below) whose `count` events cost at most `target`.

    0 for an infinite target. Raises InputError when no multiplier up to 1e5 is enough.
    """
    if math.isinf(target):
        return 0.0

    def cost(multiplier: float, interval: float) -> float:
        event = PrivacyEvent(noise_multiplier=multiplier, sampling_rate=sampling_rate, count=count)
        return epsilon([event], delta, interval)

    high = 1.0
    while cost(high, DISPLAY_INTERVAL) > target:
        high *= 2
        if high > _MAX_MULTIPLIER:
            raise InputError(
                f"epsilon {target} at delta {delta} is out of reach in {count} steps: raise --epsilon"
            )
    low = high / 2
    while low > 1e-3 and cost(low, DISPLAY_INTERVAL) <= target:
        low, high = low / 2, low
    while high / low > 1.002:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle, DISPLAY_INTERVAL) <= target else (middle, high)
    return _refine(target, high, lambda z: cost(z, CLAIM_INTERVAL))


def _refine(target: float, start: float, cost: Callable[[float], float]) -> float:
    """Shrink from a coarse bracket with the exact cost, which a finer interval only lowers."""
    high = start
    while cost(high) > target:
        high *= 1.001
    while high > 1e-3 and cost(high / 1.0005) <= target:
        high /= 1.0005
    return high
