"""How fine contributions are told in whole numbers, and how many bits their masked sum needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import InputError
from common.integer_noise import LEAST_SHARE
from common.plan import MOST_BOUND, MOST_SCALE, Plan
from common.roster import Member

FINENESS = 600.0
"""C x scale is at least this x sqrt(dimension).

Rounding toward zero takes from each coordinate what stands behind the point, evenly spread over [0, 1):
of root mean square 1 / sqrt(3), together sqrt(d / 3) of C x scale, which is 0.096 % of C; twice that at most.
"""

LEAST_NOISE = 100.0
"""z x C x scale is at least this, so that the multiplier charged is within 0.02 % of z (`IntegerNoise`)."""

SPARE = 2
"""Bits of the modulus that the largest sum leaves free: its sign, and one that shows a sum that is none.

Where a site masked wrongly every coordinate is uniform, and each is out of range with probability 1/2.
"""

_RARE = 80 * math.log(2)
"""-ln of the chance that more people than `most_people` are drawn in a round."""

_REACH = 40.0
"""Standard deviations of the noise within which every coordinate is."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`Plan.scale` and `Plan.modulus_bits`."""

    scale: int
    modulus_bits: int


def sizes_for(
    *,
    clip_norm: float,
    dimension: int,
    noise_multiplier: float,
    sampling_rate: float,
    roster: Sequence[Member],
    min_sites: int,
    colluders: int,
) -> Sizes:
    """The least scale that costs below 0.1 % of C, and 32 bits where the sum fits, else 64.

    `noise_multiplier` is the noise over C: among shards twice the plan's.
    Public facts alone; InputError where `clip_norm` is too small or too large for whole numbers.
    """
    shares = max(1, min_sites - colluders)
    least = FINENESS * math.sqrt(dimension) / clip_norm
    if noise_multiplier > 0:
        noise = max(LEAST_NOISE, LEAST_SHARE * math.sqrt(shares) * (1 + 1e-9))
        least = max(least, noise / (noise_multiplier * clip_norm))
    scale = 2 ** max(0, math.ceil(math.log2(least)))
    if scale > MOST_SCALE or clip_norm * scale > MOST_BOUND:
        raise InputError(
            f"clip_norm {clip_norm:g} and noise_multiplier {noise_multiplier:g} at dimension {dimension} need"
            f" contributions in units of 1/{scale}, finer than whole numbers of 31 bits tell them: take more"
            " noise or fewer parameters"
        )
    most = _largest(clip_norm * scale, noise_multiplier, sampling_rate, roster, len(roster) / shares)
    bits = next((bits for bits in (32, 64) if most <= 2 ** (bits - SPARE)), None)
    if bits is None:
        raise InputError(f"a sum of up to {most:.3g} does not fit 64 bits: take a lower noise_multiplier")
    return Sizes(scale=scale, modulus_bits=bits)


def largest_sum(plan: Plan) -> int:
    """How far from zero a coordinate of a round's sum is at most, but for chances below 2^-80."""
    shares = plan.min_sites - plan.colluders
    return _largest(
        plan.clip_norm * plan.scale,
        plan.noise_multiplier * plan.spread,
        plan.sampling_rate,
        plan.roster,
        len(plan.roster) / shares,
    )


def _largest(
    bound: float, noise_multiplier: float, sampling_rate: float, roster: Sequence[Member], surplus: float
) -> int:
    """`surplus` is the noise's variance when all sites answer, over (z C scale)^2."""
    people = most_people(sum(member.population for member in roster), sampling_rate)
    return math.ceil(bound * (people + _REACH * noise_multiplier * math.sqrt(surplus)))


def most_people(population: int, sampling_rate: float) -> int:
    """How many of `population` a Poisson sample holds at most, but for a chance of 2^-80 (Bernstein)."""
    mean, third = population * sampling_rate, _RARE / 3
    return min(population, math.ceil(mean + third + math.sqrt(third**2 + 2 * mean * _RARE)))
