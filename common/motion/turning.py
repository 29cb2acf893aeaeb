"""Turning on the spot: 90 or 180 degrees in two or four steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.motion.anthropometry import Floats
from common.motion.forward import NECK_ROTATION, OUTWARD, PELVIS_ROTATION, TWIST, Pose
from common.motion.gait_angles import ease
from common.motion.stance import Plan, hips, onset, turned
from common.motion.style import Motions

_PELVIS_LAG, _HEAD_LEAD = 0.08, 0.12
_LIFT = 0.045


def turn(motions: Motions, time: Floats) -> Pose:
    """A quarter or half turn to either side; the head leads, the pelvis follows, the feet step round."""
    plan = Plan(motions, time, hips(motions, 0.008))
    half = motions.chance[:, 102:103] < 0.5
    side = np.where(motions.chance[:, 103:104] < 0.5, 1.0, -1.0)
    spread = 1.0 + 0.14 * np.clip(motions.trait("turn_time"), -2.0, 2.0)
    duration = np.clip(np.where(half, 1.75, 1.25) * motions.tempo * spread, 0.8, 2.6)
    start = onset(motions, time, duration + 0.2) + 0.1
    angle = np.where(half, np.pi, np.pi / 2) + 0.05 * np.clip(motions.trait("turn_angle"), -2.0, 2.0)

    def yaw(lead: float) -> Floats:
        return side * angle * ease((time + lead - start) / duration)

    lag = _PELVIS_LAG * (1.0 + 0.3 * np.clip(motions.trait("turn_lead"), -2.0, 2.0))
    pelvis = side * angle * ease((time - lag - start) / duration)
    plan.core[..., PELVIS_ROTATION] += pelvis
    plan.core[..., TWIST] += yaw(0.0) - pelvis
    plan.core[..., NECK_ROTATION] += yaw(_HEAD_LEAD) - yaw(0.0)
    _step_round(plan, (start, duration), side * angle, half)
    final = np.rad2deg(side * angle) * np.where(motions.left[:, None], -1.0, 1.0)
    return plan.pose(turned=final, start=start, duration=duration)


def _step_round(plan: Plan, span: tuple[Floats, Floats], angle: Floats, half: NDArray[np.bool_]) -> None:
    """Feet in turn, the one on the inside first: two steps, or four of half the angle each."""
    start, duration = span
    first = np.where(angle > 0, 0, 1)
    yaw = np.zeros_like(plan.pitch)
    bump = np.zeros_like(plan.pitch)
    for number in range(4):
        count = np.where(half, 4.0, 2.0)
        pace = duration / count
        begin = start + number * pace
        share = np.clip((plan.time - begin) / (1.15 * pace), 0.0, 1.0)
        taken = number < count
        foot = (first + number) % 2
        for side in (0, 1):
            moves = taken & (foot == side)
            yaw[..., side] += np.where(moves, angle / (count / 2) * ease(share), 0.0)
            bump[..., side] += np.where(moves, np.sin(np.pi * share) ** 2, 0.0)
    plan.toe_out += yaw * OUTWARD
    plan.knee_yaw[:] = 0.5 * (yaw - plan.core[..., PELVIS_ROTATION, None])
    home = np.broadcast_to(plan.footprint[:, None], plan.steps.shape)
    plan.steps[:] = turned(home, yaw) - home
    plan.lift += _LIFT * np.minimum(bump, 1.0)
    plan.pitch -= np.deg2rad(9.0) * np.minimum(bump, 1.0)
    # The weight goes over the foot that stands.
    weight = 0.5 + 0.27 * (bump[..., ::-1] - bump)
    feet = home + plan.steps
    middle = (weight[..., None] * feet).sum(axis=2)
    at_rest = plan.footprint.mean(axis=1)[:, None]
    plan.root[..., 0] += middle[..., 0] - at_rest[..., 0]
    plan.root[..., 2] += middle[..., 2] - at_rest[..., 2]
    plan.root[..., 1] -= 0.008 * plan.motions.stature[:, None] * np.minimum(bump.sum(axis=-1), 1.0)
