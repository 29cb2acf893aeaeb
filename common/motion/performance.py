"""From people and labels to joints: every action by its name, with the small movements all share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from common.motion.actions import jump, kick, squat, wave
from common.motion.anthropometry import Floats
from common.motion.chair import seated, sit, stand
from common.motion.curve import bend, draw_curve
from common.motion.forward import BENDING, SHOULDER, Pose, joints
from common.motion.gait import build_stride, match_speed, pose_gait
from common.motion.reaching import pick_up, punch, reach
from common.motion.style import Motions, gait_of
from common.motion.turning import turn

_TIGHTEST_WALK, _TIGHTEST_RUN = 0.60, 0.21  # mean rad/m of a curve
_WANDER = slice(12, 90)
_CURVE = slice(90, 95)
_MIRROR: Final = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20])


def walk(motions: Motions, time: Floats) -> Pose:
    """Walking at the speed of the clip, straight on or along a curve."""
    return _gait(motions, time, running=False)


def run(motions: Motions, time: Floats) -> Pose:
    """Running, with a flight in each step."""
    return _gait(motions, time, running=True)


def _gait(motions: Motions, time: Floats, running: bool) -> Pose:
    gait = match_speed(gait_of(motions, running), motions.body)
    stride = build_stride(gait, motions.body)
    # Stride times vary by some 2 %: a slow drift of the phase that leaves the mean speed alone.
    start, phase = motions.chance[:, :1], 2 * np.pi * motions.chance[:, 1:2]
    drift = 0.008 * (np.sin(2 * np.pi * 0.4 * time + phase) - np.sin(phase))
    pose = pose_gait(gait, motions.body, stride, start + time / gait.stride_time[:, None] + drift)
    tightest = np.full(len(gait.speed), _TIGHTEST_RUN if running else _TIGHTEST_WALK)
    curve = draw_curve(motions.chance[:, _CURVE], gait.speed * time[-1], motions.turning, tightest)
    facts = {"speed": gait.speed, "turned": np.rad2deg(curve.angle), "circle": curve.circle}
    if curve.angle.any():
        pose = bend(pose, motions.body, curve, gait.speed, time)
    return replace(pose, facts=facts)


_PERFORM: Final[dict[str, Callable[[Motions, Floats], Pose]]] = {
    "walk": walk, "run": run, "squat": squat, "jump": jump, "wave": wave, "kick": kick,
    "sit": sit, "stand": stand, "seated": seated, "turn": turn,
    "punch": punch, "reach": reach, "pick_up": pick_up,
}  # fmt: skip
_TWO_HANDED: Final = ("walk", "run")


def perform(action: str, motions: Motions, time: Floats) -> tuple[Floats, Mapping[str, Floats]]:
    """Joints `[B, T, 22, 3]` in metres at `time` `[T]` seconds, from the origin on, and what is true of them.

    All but walking and running are made right-handed and mirrored for left-handed people.
    """
    pose = _PERFORM[action](motions, time)
    place = joints(motions.body, _wander(pose, motions, time))
    place[..., (0, 2)] -= place[:, :1, :1, (0, 2)]
    if action not in _TWO_HANDED and motions.left.any():
        place[motions.left] = place[motions.left][:, :, _MIRROR] * np.array([-1.0, 1.0, 1.0])
    return place, pose.facts


def _wander(pose: Pose, motions: Motions, time: Floats) -> Pose:
    """Slow 1/f wander of trunk, head and arms, some tenths of a degree."""
    phases = 2 * np.pi * motions.chance[:, _WANDER].reshape(len(motions.stature), 13, 6)
    rates = 0.15 * 2.0 ** np.arange(6)
    waves = np.sin(2 * np.pi * rates * time[:, None] + phases[:, :, None])
    wander = np.deg2rad(0.45) * (waves * 2.0 ** (-0.5 * np.arange(6))).sum(axis=-1)
    core, sides = pose.core.copy(), pose.sides.copy()
    core[..., BENDING - 1 :] += np.moveaxis(wander[:, :5], 1, 2)
    sides[..., SHOULDER:] += np.moveaxis(wander[:, 5:].reshape(-1, 2, 4, len(time)), 3, 1)
    return replace(pose, core=core, sides=sides)
