"""Motions of procedural people from vectors of traits, so that what is like a motion is near it."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtr

from common.motion.anthropometry import Floats
from common.motion.people import NORMALS, UNIFORMS, Population, people_of
from common.motion.performance import perform
from common.motion.population import CHANCES, JITTER, motions_of

TRAITS: Final = NORMALS + JITTER + UNIFORMS + CHANCES
"""Standard-normal numbers behind one motion of one person: who that is, and how it went."""
_ENDS: Final = np.cumsum([NORMALS, JITTER, UNIFORMS])
_LARGEST: Final = np.nextafter(1.0, 0.0)


def performed(population: Population, action: str, traits: Floats, time: Floats, spread: float) -> Floats:
    """One motion of `action` for each row of `traits` `[n, TRAITS]`: joints `[n, T, 22, 3]` in metres.

    Rows drawn from N(0, I) are motions of `population`, whose deviations are multiplied by `spread`;
    `time` `[T]` is in seconds.
    """
    normal, jitter, who, chance = np.split(np.asarray(traits, dtype=np.float64), _ENDS, axis=1)
    uniform, chances = (np.minimum(ndtr(part), _LARGEST) for part in (who, chance))
    people = people_of(population, spread * normal, uniform)
    motions = motions_of(population, people, np.arange(len(traits)), spread * jitter, chances)
    return perform(action, motions, time)[0]
