"""Punching, reaching and picking something up: hands led by two-bone inverse kinematics."""

from __future__ import annotations

import numpy as np

from common.motion.anthropometry import Floats
from common.motion.forward import (
    ARM_ROTATION,
    ELBOW,
    NECK,
    NECK_ROTATION,
    PELVIS_ROTATION,
    SHOULDER,
    TWIST,
    Pose,
)
from common.motion.gait_angles import ease
from common.motion.stance import Plan, hips, onset
from common.motion.style import Motions

_LEFT, _RIGHT = 0, 1
_TRUNK = 0.325
"""Pelvis to shoulder joints, in statures."""


def _shoulder(plan: Plan) -> tuple[Floats, Floats, Floats]:
    """Half shoulder width, height above the pelvis and arm length of a standing person, `[B, 1]` metres."""
    offsets = plan.body.offsets
    width = offsets[:, 13, 0] + offsets[:, 16, 0]
    height = offsets[:, (3, 6, 9, 13, 16), 1].sum(axis=1)
    arm = -offsets[:, 18, 1] - offsets[:, 20, 1]
    return width[:, None], height[:, None], arm[:, None]


def punch(motions: Motions, time: Floats) -> Pose:
    """From a guard with the left foot ahead: one or two straight punches of the right hand, 3 to 6 m/s."""
    stature = motions.stature[:, None]
    plan = Plan(motions, time, hips(motions, 0.020), 0.15 * motions.stature)
    width, height, arm = _shoulder(plan)
    out = np.clip(0.20 * motions.tempo * (1 + 0.1 * np.clip(motions.trait("punch_time"), -2, 2)), 0.14, 0.30)
    home = 1.6 * out + 0.10
    twice = motions.chance[:, 102:103] < 0.5
    start = onset(motions, time, (out + home) * np.where(twice, 2.0, 1.0) + 0.1)
    power = ease((time - start) / out) - ease((time - start - out) / home)
    again = start + out + home
    power += np.where(twice, ease((time - again) / out) - ease((time - again - out) / home), 0.0)
    plan.root[..., 1] -= (0.022 + 0.008 * np.clip(motions.trait("punch_crouch"), -2, 2)) * stature
    plan.root[..., 2] += 0.035 * stature * power
    plan.core[..., PELVIS_ROTATION] += np.deg2rad(-17.0) + np.deg2rad(27.0) * power
    plan.core[..., TWIST] += np.deg2rad(-5.0) + np.deg2rad(22.0) * power
    plan.core[..., NECK] += np.deg2rad(4.0)
    plan.core[..., NECK_ROTATION] += np.deg2rad(22.0) - np.deg2rad(46.0) * power
    plan.lean(np.deg2rad(np.clip(7.0 + 4.0 * motions.trait("punch_lean"), 0.0, 16.0)) * (0.6 + 0.4 * power))
    plan.pitch[..., _RIGHT] -= np.deg2rad(12.0) + np.deg2rad(20.0) * power
    aim = np.clip(0.02 + 0.035 * motions.trait("punch_height"), -0.08, 0.12) * stature
    wrist, grip = plan.hands()
    guard = np.clip(0.02 + 0.02 * motions.trait("punch_guard"), -0.04, 0.06) * stature
    for side, sign in ((_LEFT, 1.0), (_RIGHT, -1.0)):
        wrist[..., side, 0] = plan.root[..., 0] + sign * 0.62 * width
        wrist[..., side, 1] = plan.root[..., 1] + height + guard
        wrist[..., side, 2] = plan.root[..., 2] + (0.62 if side == _LEFT else 0.48) * arm
    target = np.stack([
        plan.root[..., 0] - 0.15 * width, plan.root[..., 1] + height + aim, plan.root[..., 2] + 1.45 * arm
    ], axis=-1)  # fmt: skip
    wrist[..., _RIGHT, :] += power[..., None] * (target - wrist[..., _RIGHT, :])
    wrist[..., _LEFT, 2] -= 0.12 * arm * power
    grip[:] = 1.0
    return plan.pose(hand=_hand(motions), count=np.where(twice, 2.0, 1.0), duration=out)


def _hand(motions: Motions) -> Floats:
    """1 for the left hand, -1 for the right."""
    return np.where(motions.left[:, None], 1.0, -1.0)


def reach(motions: Motions, time: Floats) -> Pose:
    """One hand to a point on a sphere about the shoulder, peak speed about 1 m/s, and back."""
    plan = Plan(motions, time, hips(motions, 0.004))
    width, height, arm = _shoulder(plan)
    chance = motions.chance
    across = np.deg2rad(-15.0 + 75.0 * chance[:, 102:103])  # outwards
    above = np.deg2rad(-40.0 + 100.0 * chance[:, 103:104])
    far = (
        np.clip(1.24 + 0.05 * motions.trait("reach_far") + 0.10 * (chance[:, 104:105] - 0.5), 1.08, 1.38)
        * arm
    )
    shoulder = np.concatenate([-width, plan.standing + height, 0.0 * width], axis=1)
    way = np.concatenate(
        [-np.sin(across) * np.cos(above), np.sin(above), np.cos(across) * np.cos(above)], axis=1
    )
    target = shoulder + far * way
    hanging = shoulder - np.concatenate([0 * arm, 0.97 * arm, -0.1 * arm], axis=1)
    distance = np.linalg.norm(target - hanging, axis=1)[:, None]
    out = np.clip(1.875 * distance / 1.1 * motions.tempo, 0.7, 1.6)
    hold = 0.15 + 0.35 * chance[:, 2:3]
    home = 0.85 * out
    start = onset(motions, time, out + hold + home)
    going, coming = (time - start) / out, (time - start - out - hold) / home
    near = ease(going) - ease(coming)
    wrist, grip = plan.hands()
    # The hand rises in front of the body, not through it.
    arc = np.sin(np.pi * near)[..., None] * np.stack([-0.02 + 0 * arm, 0 * arm, 0.10 * arm], axis=-1)
    wrist[..., _RIGHT, :] = hanging[:, None] + near[..., None] * (target - hanging)[:, None] + arc
    grip[..., _RIGHT] = ease(3.0 * going) - ease((coming - 0.66) * 3.0)
    stretch = np.deg2rad(70.0) * np.clip(far / arm - 1.05, 0.0, 0.3)
    plan.lean((np.cos(across) * np.cos(above) * stretch + np.deg2rad(3.0)) * near)
    twist = np.deg2rad(np.clip(14.0 + 5.0 * motions.trait("reach_twist"), 2.0, 26.0))
    turning = (twist * np.cos(across) - 0.35 * across) * near
    plan.core[..., PELVIS_ROTATION] += 0.3 * turning
    plan.core[..., TWIST] += 0.7 * turning
    plan.core[..., NECK_ROTATION] -= 0.8 * turning + 0.5 * across * near
    plan.core[..., NECK] -= 0.35 * above * near
    plan.root[..., 2] += 0.015 * motions.stature[:, None] * np.cos(across) * near
    return plan.pose(hand=_hand(motions), height=np.rad2deg(above), across=np.rad2deg(across), duration=out)


def pick_up(motions: Motions, time: Floats) -> Pose:
    """Down to something on the floor with one hand, and up with it to the waist."""
    stature = motions.stature[:, None]
    plan = Plan(motions, time, hips(motions, 0.022))
    body = plan.body
    width, _, arm = _shoulder(plan)
    chance = motions.chance
    down = np.clip(1.25 * motions.tempo, 0.9, 1.45)
    hold, up = 0.10 + 0.15 * chance[:, 2:3], np.clip(1.09 * motions.tempo, 0.76, 1.2)
    start = onset(motions, time, down + hold + up)
    low = ease((time - start) / down) - ease((time - start - down - hold) / up)
    share = np.clip(0.42 + 0.09 * motions.trait("pick_knees"), 0.24, 0.60)
    drop = np.clip(share * body.leg[:, None], 0.20, 0.53)
    shank_lean = np.deg2rad(np.clip(12.0 + 30.0 * share, 14.0, 34.0))
    ankle_z = plan.footprint[..., 2].mean(axis=1)[:, None]
    hip_y = plan.standing - drop
    shank, thigh = body.shank[:, None], body.thigh[:, None]
    rise = np.clip((hip_y - body.ankle_height[:, None] - shank * np.cos(shank_lean)) / thigh, -0.5, 0.95)
    hip_z = ankle_z + shank * np.sin(shank_lean) - thigh * np.sqrt(1 - rise**2)
    thing = (0.045 + 0.07 * chance[:, 103:104]) * stature
    # The trunk bends until the hand gets there.
    lean = np.arccos(np.clip((thing + 0.97 * arm - hip_y) / (_TRUNK * stature), 0.05, 0.90))
    plan.root[..., 1] -= drop * low
    plan.root[..., 2] += hip_z * low
    plan.lean(1.1 * lean * low)
    plan.knees_out += np.deg2rad(8.0) * low
    plan.core[..., TWIST] += np.deg2rad(np.clip(9.0 + 4.0 * motions.trait("pick_twist"), 0.0, 18.0)) * low
    plan.sides[..., _LEFT, SHOULDER] += 0.8 * lean * low
    wrist, grip = plan.hands()
    ahead = ankle_z + (0.17 + 0.02 * np.clip(motions.trait("pick_far"), -2, 2)) * stature
    floor = np.concatenate([-(0.25 + 0.5 * chance[:, 104:105]) * width, thing, ahead], axis=1)
    wrist[..., _RIGHT, :] = floor[:, None]
    grip[..., _RIGHT] = ease((time - start - 0.10 * down) / (0.9 * down)) - ease(
        (time - start - down - hold) / up
    )
    carried = ease((time - start - down - hold) / up)
    arm_angles = plan.sides[:, :, _RIGHT]
    arm_angles[..., ELBOW] += np.deg2rad(62.0) * carried
    arm_angles[..., SHOULDER] += np.deg2rad(6.0) * carried + 0.8 * lean * low
    arm_angles[..., ARM_ROTATION] += np.deg2rad(10.0) * carried
    return plan.pose(hand=_hand(motions), depth=share, duration=down)
