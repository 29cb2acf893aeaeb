"""Epsilon from events: privacy-loss distributions, add/remove, always rounded up.

The accountant is the PLD of dp-accounting with the connect-the-dots discretisation
(Doroshenko et al. 2022), an upper bound at every interval. What costs more than
`LARGEST_EPSILON` promises nothing and is priced as infinite, before its distribution
could fill the memory. docs/accounting.md says what an event stands for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

from dp_accounting.pld import privacy_loss_distribution as pld

from common.errors import InputError
from common.event import MOST_STEPS, PrivacyEvent
from common.mixture import mixture_loss

ACCOUNTANT = "PLD (dp-accounting)"
CLAIM_INTERVAL = 1e-4
DISPLAY_INTERVAL = 1e-3
LARGEST_EPSILON = 100.0
"""Above this the odds of a guess may change by e^100: no promise, and its accounting needs gigabytes."""

MARGIN = 1e-9
"""Added to epsilon and, as a share of it, taken from delta: for the accountant's own floating point
and for the slacks of the integer path (`common.integer_noise`)."""

_MAX_MULTIPLIER = 1e5
_FINE = 20.0  # up to this epsilon the fine interval is affordable
_MANY = 16  # kinds of events up to which it is, too
_MOST_BINS = 500_000.0  # of one event's loss
_LONG = 10_000
_TAIL = 1e-15  # mass that a composition may move to an infinite loss

Merged = tuple[tuple[float, float, int, int], ...]


def epsilon(events: Iterable[PrivacyEvent], delta: float, interval: float = CLAIM_INTERVAL) -> float:
    """The epsilon at `delta` of composing `events`, rounded up at the sixth decimal.

    Computed from event counts in a canonical order, so that the same multiset gives
    the same number to the bit, and is composed once in a process. Infinite above
    `LARGEST_EPSILON`, or when an event carries no noise.
    """
    merged = _canonical(events)
    if any(multiplier == 0 for multiplier, *_ in merged):
        return math.inf
    value = _epsilon(merged, delta, interval)
    return value if value in (0, math.inf) else math.ceil((value + MARGIN) * 1e6) / 1e6


def _canonical(events: Iterable[PrivacyEvent]) -> Merged:
    """(noise multiplier, rate, multiplicity, count) of each kind of event, sorted."""
    counts: dict[tuple[float, float, int], int] = {}
    for event in events:
        if event.count > 0:
            kind = (event.noise_multiplier, event.sampling_rate, event.multiplicity)
            counts[kind] = counts.get(kind, 0) + event.count
    return tuple((*kind, count) for kind, count in sorted(counts.items()))


@lru_cache(maxsize=4096)
def _epsilon(merged: Merged, delta: float, interval: float) -> float:
    allowed = delta * (1 - MARGIN)
    if len(merged) > _MANY:
        interval = max(interval, DISPLAY_INTERVAL)
    for kind in merged:
        interval = max(interval, _affordable(kind, allowed, interval))
    if math.isinf(interval):
        return math.inf
    composed = None
    for noise_multiplier, sampling_rate, multiplicity, count in merged:
        part = _repeated(_single(noise_multiplier, sampling_rate, multiplicity, interval), count)
        composed = part if composed is None else composed.compose(part, _TAIL)
        if _above(LARGEST_EPSILON, composed, allowed):
            return math.inf
    return 0.0 if composed is None else float(composed.get_epsilon_for_delta(allowed))


def _affordable(kind: tuple[float, float, int, int], allowed: float, interval: float) -> float:
    """The interval at which `kind` can be composed, at least; infinite for a loss above `LARGEST_EPSILON`.

    Tries growing counts at a coarse interval: no composition is ever much longer than one
    whose loss was still small. A count past `kind`'s that is small settles it, so that the
    rounds of a run share their trials.
    """
    noise_multiplier, sampling_rate, multiplicity, count = kind
    shift = multiplicity / noise_multiplier
    finest = (shift**2 / 2 + 20 * shift) * max(1.0, multiplicity / 4) / _MOST_BINS
    one = (noise_multiplier, sampling_rate, multiplicity, max(DISPLAY_INTERVAL, interval, 5 * finest))
    tried = 1
    while (level := _level(*one, tried, allowed)) < LARGEST_EPSILON and tried < count:
        tried *= 8
    if level > 0 and tried > count:
        level = _level(*one, count, allowed)
    if level == LARGEST_EPSILON:
        return math.inf
    return max(finest, DISPLAY_INTERVAL if level == _FINE else 0.0)


@lru_cache(maxsize=4096)
def _level(
    noise_multiplier: float,
    sampling_rate: float,
    multiplicity: int,
    interval: float,
    count: int,
    allowed: float,
) -> float:
    """The largest of 0, `_FINE` and `LARGEST_EPSILON` that `count` events cost more than."""
    loss = _repeated(_single(noise_multiplier, sampling_rate, multiplicity, interval), count)
    return max(limit for limit in (0.0, _FINE, LARGEST_EPSILON) if limit == 0 or _above(limit, loss, allowed))


def _above(epsilon: float, loss: pld.PrivacyLossDistribution, allowed: float) -> bool:
    return bool(loss.get_delta_for_epsilon(epsilon) > allowed)


def _repeated(loss: pld.PrivacyLossDistribution, count: int) -> pld.PrivacyLossDistribution:
    """`count` times `loss`; long ones in two stages, or a narrow loss takes minutes."""
    if count <= _LONG:
        return loss.self_compose(count, _TAIL)
    inner = math.isqrt(count)
    outer, left = divmod(count, inner)
    composed = loss.self_compose(inner, _TAIL / outer).self_compose(outer, _TAIL)
    return composed.compose(loss.self_compose(left, _TAIL), _TAIL) if left else composed


@lru_cache(maxsize=16)
def _single(
    noise_multiplier: float, sampling_rate: float, multiplicity: int, interval: float
) -> pld.PrivacyLossDistribution:
    if sampling_rate < 1:
        return mixture_loss(noise_multiplier, sampling_rate, multiplicity, interval)
    return pld.from_gaussian_mechanism(
        noise_multiplier / multiplicity, value_discretization_interval=interval
    )


def calibrate(target: float, delta: float, sampling_rate: float, count: int, multiplicity: int = 1) -> float:
    """The smallest noise multiplier (to 0.05 %, never below) whose `count` events cost at most `target`.

    0 for an infinite target. Raises InputError when no multiplier up to 1e5 is enough.
    """
    if math.isinf(target):
        return 0.0

    def cost(multiplier: float, interval: float) -> float:
        event = PrivacyEvent(
            noise_multiplier=multiplier, sampling_rate=sampling_rate, count=count, multiplicity=multiplicity
        )
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


def most_steps(target: float, delta: float, step: PrivacyEvent) -> int:
    """How many times `step` fits into `target`, at most `MOST_STEPS`; 0 if not once."""

    def fits(steps: int) -> bool:
        return epsilon([replace(step, count=step.count * steps)], delta) <= target

    low, high = 0, 1
    while high < MOST_STEPS and fits(high):
        low, high = high, min(2 * high, MOST_STEPS)
    if high == MOST_STEPS and fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
