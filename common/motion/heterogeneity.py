"""Sites whose people differ: in the mix of what they do and in their mean traits."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Final

import numpy as np

from common.motion.people import Population

STRONGEST: Final = 10.0
"""Beyond this almost every site would do one thing only."""
_SHIFTED: Final = ("amplitude", "tempo", "toe_out", "width", "cadence")
_SHIFT: Final = 0.25


def at_site(population: Population, heterogeneity: float, seed: int, site: int) -> Population:
    """`population` as it is at one site, from public numbers alone; with 0 the same everywhere.

    The mix of actions is Dirichlet with alpha = 1 / `heterogeneity` (Hsu, Qi & Brown 2019 for
    labels); mean stature, speeds and a few traits of style move by a normal number of deviations,
    0.25 x `heterogeneity` wide. A person's own randomness is the same at any site.
    """
    if heterogeneity == 0:
        return population
    random = np.random.default_rng(np.random.SeedSequence((zlib.crc32(b"site"), seed, site)))
    mix = random.dirichlet([1 / heterogeneity] * len(population.actions))
    moved = _SHIFT * heterogeneity * np.clip(random.standard_normal(3 + len(_SHIFTED)), -2.0, 2.0)
    height = float(moved[0]) * population.stature_sd
    walk, run = population.walk_speed, population.run_speed
    style = tuple(
        (name, float(population.style_scale * shift)) for name, shift in zip(_SHIFTED, moved[3:], strict=True)
    )
    return replace(
        population,
        stature=(population.stature[0] + height, population.stature[1] + height),
        walk_speed=(walk[0] + float(moved[1]) * walk[1], walk[1]),
        run_speed=(run[0] + float(moved[2]) * run[1], run[1]),
        style_shift=population.style_shift + style,
        action_mix=tuple(mix.tolist()),
    )
