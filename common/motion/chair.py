"""Sitting down, standing up and sitting still, on a seat at a quarter of stature."""

from __future__ import annotations

import numpy as np

from common.motion.anthropometry import Floats
from common.motion.forward import OUTWARD, SHOULDER, Pose
from common.motion.gait_angles import ease
from common.motion.stance import Plan, hips, onset
from common.motion.style import Motions

_SEAT = 0.25
_HIP_ABOVE_SEAT = 0.050
"""Seat height and how far the hip joints lie above it, in statures."""


def sit(motions: Motions, time: Floats) -> Pose:
    """From standing onto a seat in about 1.8 s; the trunk leans most at 45 % of the way."""
    duration = chair_time(motions)
    start = onset(motions, time, duration)
    return _on_chair(motions, time, (time - start) / duration, start, duration)


def stand(motions: Motions, time: Floats) -> Pose:
    """From a seat to standing: sitting down in reverse, a little faster."""
    duration = 0.92 * chair_time(motions)
    start = onset(motions, time, duration)
    return _on_chair(motions, time, 1.0 - (time - start) / duration, start, duration)


def seated(motions: Motions, time: Floats) -> Pose:
    """Sitting still: breath, sway and small shifts of the trunk."""
    still = np.ones((len(motions.stature), 1))
    return _on_chair(motions, time, still + np.zeros_like(time), 0.0 * still, still * time[-1])


def chair_time(motions: Motions) -> Floats:
    """Seconds to sit down, `[B, 1]`: 1.8 +- 0.35."""
    spread = 1.0 + 0.15 * np.clip(motions.trait("sit_time"), -2.0, 2.0)
    return np.clip(1.8 * motions.tempo * spread, 1.0, 2.7)


def _on_chair(motions: Motions, time: Floats, way: Floats, start: Floats, duration: Floats) -> Pose:
    """`way` `[B, T]` from 0 standing to 1 seated; hands come to rest on the thighs."""
    plan, body = Plan(motions, time, hips(motions, 0.012)), motions.body
    way = np.clip(way, 0.0, 1.0)
    down, back = ease(way), ease(1.12 * way)
    stature, ankle = motions.stature[:, None], plan.footprint[..., 2].mean(axis=1)[:, None]
    lean = np.deg2rad(np.clip(4.0 + 5.0 * motions.trait("sit_back"), -4.0, 18.0))
    shank_lean = np.deg2rad(np.clip(3.0 + 5.0 * motions.trait("sit_feet"), -10.0, 14.0))
    height = (_SEAT + _HIP_ABOVE_SEAT) * stature
    rise = (height - body.ankle_height[:, None] - body.shank[:, None] * np.cos(shank_lean)) / body.thigh[
        :, None
    ]
    level = np.sqrt(1 - np.clip(rise, -0.9, 0.9) ** 2)
    seat_z = ankle + body.shank[:, None] * np.sin(shank_lean) - body.thigh[:, None] * level
    calm = 1 - 0.7 * down
    plan.root[..., (0, 2)] *= calm[..., None]
    plan.root[..., 1] += (height - plan.standing) * down
    plan.root[..., 2] += seat_z * back
    bow = np.deg2rad(np.clip(35.0 + 8.0 * motions.trait("sit_lean"), 18.0, 52.0))
    forward = ease(way / 0.45) - ease((way - 0.45) / 0.55)
    plan.lean(
        bow * forward + lean * ease((way - 0.45) / 0.55) + np.deg2rad(1.2) * down * _shift(motions, time)
    )
    plan.sides[..., SHOULDER] += (np.deg2rad(22.0) * forward)[..., None]
    plan.knees_out += np.deg2rad(np.clip(5.0 + 4.0 * motions.trait("sit_knees"), -3.0, 16.0)) * down
    _hands_on_thighs(plan, ease((way - 0.30) / 0.65), height, seat_z, shank_lean)
    return plan.pose(start=start, duration=duration)


def _shift(motions: Motions, time: Floats) -> Floats:
    """A slow change of posture between -1 and 1, `[B, T]`."""
    phase = 2 * np.pi * motions.chance[:, 102:104]
    return 0.7 * np.sin(2 * np.pi * 0.11 * time + phase[:, :1]) + 0.3 * np.sin(
        2 * np.pi * 0.27 * time + phase[:, 1:]
    )


def _hands_on_thighs(plan: Plan, resting: Floats, height: Floats, seat_z: Floats, shank_lean: Floats) -> None:
    body, motions = plan.body, plan.motions
    wrist, grip = plan.hands()
    hip = np.stack([np.zeros_like(height), height, seat_z], axis=-1) + body.offsets[:, 1:3] * (1.0, 0.0, 0.0)
    knee = (
        plan.footprint
        + np.concatenate(
            [0 * height, body.shank[:, None] * np.cos(shank_lean), body.shank[:, None] * np.sin(shank_lean)],
            axis=1,
        )[:, None]
    )
    share = np.clip(0.62 + 0.10 * motions.trait("sit_hands"), 0.40, 0.85)[:, None]
    place = hip + share * (knee - hip)
    place[..., 1] += 0.052 * motions.stature[:, None]
    place[..., 0] -= 0.012 * OUTWARD
    wrist[:] = place[:, None]
    grip[:] = resting[..., None]
