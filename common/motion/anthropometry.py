"""Bodies from a few body measures: segment lengths as shares of stature.

Drillis & Contini (1966), as tabulated by Winter, *Biomechanics and Motor Control of Human
Movement*, with the torso split into the joints of the 22-joint skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.motion.skeleton import JOINTS

Floats = NDArray[np.float64]

_LEGS = (1, 2, 4, 5, 7, 8, 10, 11)
_ARMS = (18, 19, 20, 21)
# Joint offset from its parent in shares of stature, at rest (arms hanging).
_OFFSETS: Floats = np.array(
    [(0, 0, 0), (0.052, 0, 0), (-0.052, 0, 0), (0, 0.065, 0), (0, -0.245, 0), (0, -0.245, 0),
     (0, 0.077, 0), (0, -0.246, 0), (0, -0.246, 0), (0, 0.033, 0), (0, -0.030, 0.085),
     (0, -0.030, 0.085), (0, 0.125, 0), (0.045, 0.075, 0), (-0.045, 0.075, 0), (0, 0.060, 0.022),
     (0.066, 0.012, 0), (-0.066, 0.012, 0), (0, -0.165, 0), (0, -0.165, 0), (0, -0.146, 0),
     (0, -0.146, 0)],
    dtype=np.float64,
)  # fmt: skip
_HEEL = (0.0, -0.039, -0.040)
_BALL_HEIGHT = 0.009
_LEG_SHARE, _TORSO_SHARE = 0.53, 0.47


@dataclass(frozen=True, eq=False)
class Body:
    """Bodies of B people.

    `offsets` `[B, 22, 3]` metres from the parent joint; `heel` `[B, 3]` the rearmost sole point
    in the frame of the ankle; `ball` `[B]` height of the toe joint above the sole.
    """

    offsets: Floats
    heel: Floats
    ball: Floats

    @property
    def thigh(self) -> Floats:
        """Length from hip to knee, `[B]`."""
        return -self.offsets[:, 4, 1]

    @property
    def shank(self) -> Floats:
        """Length from knee to ankle, `[B]`."""
        return -self.offsets[:, 7, 1]

    @property
    def leg(self) -> Floats:
        """Reach from hip to ankle, `[B]`."""
        return self.thigh + self.shank

    @property
    def toe(self) -> Floats:
        """Toe joint in the frame of the ankle, `[B, 3]`."""
        return self.offsets[:, 10]

    @property
    def ankle_height(self) -> Floats:
        """Ankle above the floor with a flat foot, `[B]`."""
        return self.ball - self.offsets[:, 10, 1]

    def take(self, rows: NDArray[np.int64]) -> Body:
        """The bodies of these rows, in this order."""
        return Body(self.offsets[rows], self.heel[rows], self.ball[rows])


def build_bodies(
    stature: Floats, male: NDArray[np.bool_], leg_ratio: Floats, arm_ratio: Floats, width: Floats
) -> Body:
    """Bodies from stature (m) and dimensionless factors around 1, all `[B]`.

    A longer leg at equal stature shortens the torso, so that stature is kept.
    """
    scale = np.repeat(stature[:, None], JOINTS, axis=1)
    torso = (1.0 - _LEG_SHARE * leg_ratio) / _TORSO_SHARE
    scale *= torso[:, None]
    scale[:, _LEGS] = (stature * leg_ratio)[:, None]
    scale[:, _ARMS] = (stature * arm_ratio)[:, None]
    offsets = _OFFSETS * scale[:, :, None]
    hips = stature * width * np.where(male, 0.98, 1.03)
    shoulders = stature * width * np.where(male, 1.03, 0.96)
    offsets[:, (1, 2), 0] = _OFFSETS[(1, 2), 0] * hips[:, None]
    for pair in ((13, 14), (16, 17)):
        offsets[:, pair, 0] = _OFFSETS[pair, 0] * shoulders[:, None]
    leg_scale = stature * leg_ratio
    return Body(offsets, np.array(_HEEL) * leg_scale[:, None], _BALL_HEIGHT * leg_scale)
