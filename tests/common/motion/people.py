"""Clean motions of procedural people, and measures of how a motion stands and moves."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from common.motion.population import PRIVATE, synthesise
from common.motion.skeleton import PARENTS

Floats = NDArray[np.floating]


@cache
def clean(action: str, people: int = 12, frames: int = 60) -> NDArray[np.float32]:
    """`[people, frames, 22, 3]`: one motion each of the first people."""
    records = synthesise(PRIVATE, 7, range(people), motions=6, frames=frames)
    return np.stack([record.samples for record in records if record.label == action])


def skate(motions: Floats, rate: float = 20.0) -> float:
    """Share of steps with a toe under 2 cm (above the 2nd percentile) that moves faster than 0.3 m/s."""
    toes = motions[..., [10, 11], :]
    low = toes[..., 1] < np.percentile(toes[..., 1], 2, axis=(-2, -1), keepdims=True) + 0.02
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=-3), axis=-1) * rate
    return float((low[..., 1:, :] & low[..., :-1, :] & (speed > 0.3)).mean())


def jerk(motions: Floats, rate: float = 20.0) -> Floats:
    """Mean |third difference| x rate^3 of each motion, m/s^3."""
    return np.asarray(np.linalg.norm(np.diff(motions, n=3, axis=-3), axis=-1).mean(axis=(-2, -1)) * rate**3)


def lengths(motions: Floats) -> Floats:
    """Bone lengths in every frame, `[..., frames, 21]`."""
    return np.asarray(np.linalg.norm(motions[..., 1:, :] - motions[..., PARENTS[1:], :], axis=-1))
