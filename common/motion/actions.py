"""Squat, jump, wave and kick: minimum-jerk keyframes over planted feet.

Each action plans the pelvis, the angles above it and the feet; two-bone legs follow. Actions are
made right-handed; `perform` mirrors those of left-handed people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.motion.anthropometry import Floats
from common.motion.forward import (
    ABDUCTION,
    ADDUCTION,
    ANKLE,
    ARM_ROTATION,
    BENDING,
    ELBOW,
    EXTENSION,
    HIP,
    HIP_ROTATION,
    KNEE,
    LIST,
    NECK,
    NECK_ROTATION,
    PELVIS_ROTATION,
    SHOULDER,
    TILT,
    TWIST,
    Pose,
    leg_chain,
    sole_points,
)
from common.motion.gait_angles import ease
from common.motion.stance import Plan, hips, onset, quintic
from common.motion.style import Motions

_CLEARANCE = 0.015
_GRAVITY = 9.81
_HEEL_UP = np.deg2rad(48.0)
_LEFT, _RIGHT = 0, 1


def _deg(values: Floats | float) -> Floats:
    return np.asarray(np.deg2rad(values), dtype=np.float64)


def squat(motions: Motions, time: Floats) -> Pose:
    """Down and up once: pelvis drop 0.46 of the leg, balanced over the feet by the lean of the trunk."""
    plan, body = Plan(motions, time, hips(motions, 0.035)), motions.body
    down = 1.0 * motions.tempo * (0.9 + 0.2 * motions.chance[:, 1:2])
    hold = 0.05 + 0.20 * motions.chance[:, 2:3]
    up = 0.8 * motions.tempo
    start = onset(motions, time, down + hold + up)
    deep = ease((time - start) / down) - ease((time - start - down - hold) / up)
    leg, stature = body.leg[:, None], motions.stature[:, None]
    share = 0.47 * motions.amplitude**0.5 + 0.045 * motions.trait("squat_depth")
    drop = np.clip(np.clip(share, 0.38, 0.60) * leg, 0.32, 0.53)
    shank_lean = _deg(np.clip(25 + 5 * motions.trait("squat_ankle"), 14, 36))
    ankle_z = plan.footprint[..., 2].mean(axis=1)[:, None]
    hip_y = plan.standing - drop - body.ankle_height[:, None]
    shank, thigh = body.shank[:, None], body.thigh[:, None]
    rise = np.clip((hip_y - shank * np.cos(shank_lean)) / thigh, -0.5, 0.9)
    hip_z = ankle_z + shank * np.sin(shank_lean) - thigh * np.sqrt(1 - rise**2)
    plan.root[..., 1] -= drop * deep
    plan.root[..., 2] += hip_z * deep
    balance = ankle_z + 0.025 * stature + 0.03 * motions.trait("squat_lean") - hip_z
    lean = np.arcsin(np.clip(balance / (0.30 * stature), 0.2, 0.85))
    plan.lean(lean * deep)
    forward = ease(1.4 * (motions.trait("squat_arms") + 1.0))
    reach = lean + (1 - forward) * _deg(8) + forward * _deg(80 + 8 * motions.trait("amplitude"))
    plan.sides[..., SHOULDER] += (reach * deep)[..., None]
    plan.sides[..., ARM_ROTATION] -= (forward * _deg(15) * deep)[..., None]
    plan.knees_out += _deg(np.clip(14 + 5 * motions.trait("squat_knees"), 2, 28)) * deep
    return plan.pose(depth=np.broadcast_to(drop / leg, down.shape), duration=down)


@dataclass(frozen=True, eq=False)
class _Jump:
    """Measures `[B, 1]` of a jump: pelvis heights (m), take-off speed (m/s), event times (s)."""

    stand: Floats
    leave: Floats
    depth: Floats
    sink: Floats
    speed: Floats
    start: Floats
    bottom: Floats
    takeoff: Floats
    landing: Floats
    caught: Floats
    end: Floats


def _plan_jump(plan: Plan, time: Floats) -> _Jump:
    motions, body, stand = plan.motions, plan.body, plan.standing
    height = np.clip(0.30 + 0.075 * motions.trait("jump_height"), 0.14, 0.50)
    depth = np.clip(0.23 + 0.05 * motions.trait("jump_depth"), 0.13, 0.36)
    sink = np.clip(0.16 + 0.04 * motions.trait("jump_landing"), 0.08, 0.30)
    speed = np.sqrt(2 * _GRAVITY * height)
    toe = body.toe[:, None]
    raised = -toe[..., 1] * np.cos(_HEEL_UP) + toe[..., 2] * np.sin(_HEEL_UP) + body.ball[:, None]
    leave = np.maximum(raised + 0.965 * body.leg[:, None], stand + 0.02)
    # Mean speed of push-off and landing as a share of take-off speed: forces rise and fall smoothly.
    crouch, push, air = 0.50 * motions.tempo, (leave - stand + depth) / (0.47 * speed), 2 * speed / _GRAVITY
    land, rise = (leave - stand + sink) / (0.42 * speed), 0.55 * motions.tempo
    start = onset(motions, time, crouch + push + air + land + rise)
    bottom, takeoff = start + crouch, start + crouch + push
    landing, caught = takeoff + air, takeoff + air + land
    return _Jump(stand, leave, depth, sink, speed, start, bottom, takeoff, landing, caught, caught + rise)


def _jump_height(jump: _Jump, time: Floats) -> Floats:
    """Pelvis height `[B, T]`, smooth to the acceleration at every joint of its pieces."""
    zero = np.zeros_like(jump.stand)
    gravity = zero - _GRAVITY
    standing = (jump.stand, zero, zero)
    low = (jump.stand - jump.depth, zero, zero + 9.0)
    dip = (jump.stand - jump.sink, zero, zero + 7.0)
    off, on = (jump.leave, jump.speed, gravity), (jump.leave, -jump.speed, gravity)
    since = time - jump.takeoff
    return np.select(
        [time <= jump.bottom, time <= jump.takeoff, time < jump.landing, time <= jump.caught],
        [
            quintic(time, (jump.start, jump.bottom), standing, low),
            quintic(time, (jump.bottom, jump.takeoff), low, off),
            jump.leave + jump.speed * since - _GRAVITY / 2 * since**2,
            quintic(time, (jump.landing, jump.caught), on, dip),
        ],
        quintic(time, (jump.caught, jump.end), dip, standing),
    )


def jump(motions: Motions, time: Floats) -> Pose:
    """Counter-movement jump on the spot: crouch, push-off, ballistic flight, soft landing."""
    plan = Plan(motions, time, hips(motions, 0.010))
    act = _plan_jump(plan, time)
    push, air = act.takeoff - act.bottom, act.landing - act.takeoff
    plan.root[..., 1] = height = _jump_height(act, time)
    flying = (time > act.takeoff) & (time < act.landing)
    plan.lift[:] = np.where(flying, np.maximum(height - act.leave, 0.0), 0.0)[..., None]
    down, ready = ease((time - act.start) / (act.bottom - act.start)), ease((time - act.bottom) / push)
    sunk = ease((time - act.landing) / (act.caught - act.landing))
    back = ease((time - act.caught) / (act.end - act.caught))
    bent = (down - ready) + 0.75 * (sunk - back)
    plan.lean(_deg(np.clip(30 + 6 * motions.trait("jump_lean"), 14, 45)) * bent)
    plan.root[..., 2] -= 0.035 * motions.stature[:, None] * bent
    since = time - act.takeoff
    heel = ease((since + 0.16) / 0.18) - 0.6 * ease(since / air)
    heel -= 0.4 * ease((time - act.landing + 0.02) / 0.14)
    plan.pitch[:] = (-_HEEL_UP * heel)[..., None]
    swing = _deg(np.clip(140 + 18 * motions.trait("jump_arms"), 85, 172))
    arms = (_deg(42) + swing) * ease((time - act.bottom + 0.10) / (push + 0.28)) - _deg(42) * down
    arms -= (swing - _deg(25)) * ease((since - 0.1) / (air + 0.25)) + _deg(25) * back
    plan.sides[..., SHOULDER] += arms[..., None]
    plan.sides[..., ELBOW] += (_deg(16) * (ready - back))[..., None]
    plan.core[..., EXTENSION] += _deg(6) * (ready - ease(since / air))
    return plan.pose(height=act.speed**2 / (2 * _GRAVITY))


def wave(motions: Motions, time: Floats) -> Pose:
    """Standing, the arm out to the side with the forearm up, swinging from the elbow."""
    plan = Plan(motions, time, hips(motions, -0.002))
    lift_time, drop_time = 0.65 * motions.tempo, 0.7 * motions.tempo
    start = 0.05 + 0.5 * motions.chance[:, :1]
    hold = 1.5 + 1.6 * motions.chance[:, 1:2]
    up = ease((time - start) / lift_time)
    end = start + lift_time + hold
    high = up - ease((time - end) / drop_time)
    early = ease((time - start - 0.05) / (lift_time * 0.8)) - ease((time - end) / (drop_time * 0.85))
    abduction = _deg(np.clip(92 + 14 * motions.trait("wave_abduction"), 68, 128))
    elbow = _deg(np.clip(95 + 12 * motions.trait("wave_elbow"), 72, 108))
    rate = np.clip(1.8 + 0.35 * motions.trait("wave_rate"), 1.0, 2.8) / motions.tempo**0.5
    size = _deg(np.clip((25 + 7 * motions.trait("wave_swing")) * motions.amplitude, 10, 38))
    beat = np.sin(2 * np.pi * (rate * (time - start - lift_time) + motions.chance[:, 2:3]))
    active = ease((time - start - 0.6 * lift_time) / 0.35) - ease((time - end + 0.15) / 0.3)
    arm = plan.sides[:, :, _RIGHT]
    arm[..., ABDUCTION] += (abduction - arm[..., ABDUCTION]) * high
    outward = _deg(np.clip(78 + 10 * motions.trait("wave_turn"), 55, 95))
    arm[..., ARM_ROTATION] += (-outward - arm[..., ARM_ROTATION]) * early - 0.35 * size * beat * active
    arm[..., ELBOW] += (elbow - arm[..., ELBOW]) * early + size * beat * active
    arm[..., SHOULDER] += _deg(12) * high
    plan.core[..., BENDING] += _deg(2.5) * high + 0.03 * size * beat * active
    plan.core[..., NECK_ROTATION] += _deg(-4) * high
    plan.root[..., 0] += 0.006 * motions.stature[:, None] * high
    return plan.pose(hand=np.where(motions.left, 1.0, -1.0), rate=rate, swing=np.rad2deg(size))


def kick(motions: Motions, time: Floats) -> Pose:
    """A front kick: weight over the left foot, back-swing, hip before knee, return to stance."""
    plan, stature = Plan(motions, time, hips(motions, -0.006)), motions.stature[:, None]
    span = np.clip(0.9 * motions.tempo * np.exp(0.12 * motions.trait("kick_time")), 0.75, 1.3)
    shift, back, out, home = 0.28 * motions.tempo, 0.42 * span, 0.36 * span, 0.62 * span
    start = onset(motions, time, shift + back + out + home + 0.25)
    t1 = start + shift
    t2, t3, t4 = t1 + back, t1 + back + out, t1 + back + out + home
    leg = plan.sides[:, :, _RIGHT]
    peak = _deg(np.clip(74 + 9 * motions.trait("kick_hip"), 68, 96))
    behind = _deg(np.clip(-25 + 6 * motions.trait("kick_back"), -38, -10))
    folded = _deg(np.clip(80 + 10 * motions.trait("kick_knee"), 50, 105))
    go, swing, rest = ease((time - t1) / back), ease((time - t2) / out), ease((time - t3) / home)
    leg[..., HIP] = behind * (go - swing) + peak * (swing - rest) + _deg(4)
    late = ease((time - t2 - 0.06) / out)
    tucked = ease((time - t3 - 0.05) / (0.45 * home)) - ease((time - t3 - 0.45 * home) / (0.55 * home))
    leg[..., KNEE] = _deg(8) + (folded - _deg(8)) * (go - late) + _deg(52) * tucked
    leg[..., ANKLE] = _deg(-14) * (go - rest)
    power = swing - rest
    leg[..., ADDUCTION] = _deg(-9) * power
    leg[..., HIP_ROTATION] = 0.0
    plan.core[..., TILT] += _deg(12) * power - _deg(6) * (go - swing)
    plan.core[..., EXTENSION] += _deg(3) * power - _deg(5) * (go - swing)
    plan.core[..., NECK] += _deg(8) * power
    plan.core[..., PELVIS_ROTATION] += _deg(12) * power - _deg(8) * (go - swing)
    plan.core[..., TWIST] -= _deg(20) * power - _deg(12) * (go - swing)
    weight = ease((time - start) / (shift + 0.4 * back)) - ease((time - t4 + 0.25) / 0.5)
    plan.core[..., LIST] += _deg(2) * weight
    plan.core[..., BENDING] -= _deg(3) * weight
    _swing_arms(plan, go - swing, power, weight)
    support = plan.footprint[:, None, _LEFT]
    plan.root[..., 0] += 0.85 * support[..., 0] * weight
    plan.root[..., 1] -= 0.006 * stature * weight
    plan.root[..., 2] += support[..., 2] * weight - 0.012 * stature * power
    free = ease((time - t1 - 0.02) / 0.22) - ease((time - t4 + 0.30) / 0.30)
    foot = np.where(motions.left, 1.0, -1.0)
    return replace(_free_leg(plan, free), facts={"foot": foot, "peak": np.rad2deg(peak)[:, 0]})


def _swing_arms(plan: Plan, loaded: Floats, power: Floats, weight: Floats) -> None:
    """The arm opposite the kicking leg swings forward with it, the other back."""
    forward = _deg(np.clip(30 + 8 * plan.motions.trait("kick_arm"), 10, 50))
    left, right = plan.sides[:, :, _LEFT], plan.sides[:, :, _RIGHT]
    left[..., SHOULDER] += forward * power - 0.5 * forward * loaded
    right[..., SHOULDER] += -0.9 * forward * power + 0.6 * forward * loaded
    plan.sides[..., ABDUCTION] += (_deg(16) * weight)[..., None]
    plan.sides[..., ELBOW] += (_deg(18) * weight)[..., None]


def _free_leg(plan: Plan, free: Floats) -> Pose:
    """Blend the right leg from its footprint to its angles by `free` `[B, T]`, clear of the floor."""
    sides, body = plan.sides, plan.body
    chain, _, _ = leg_chain(body, plan.core, sides, plan.motions.toe_out)
    leg = sides[:, :, _RIGHT]
    plan.pitch[..., _RIGHT] = free * (plan.core[..., TILT] + leg[..., HIP] - leg[..., KNEE] + leg[..., ANKLE])
    planted = plan.pose()
    ankle = planted.ankle.copy()
    foot = planted.foot
    rest = np.broadcast_to(plan.footprint[:, None, _RIGHT], ankle[:, :, _RIGHT].shape)
    flying = plan.root + chain[:, :, _RIGHT]
    ankle[:, :, _RIGHT] = rest + free[..., None] * (flying - rest)
    heel, ball = sole_points(body, ankle, foot)
    low = np.minimum(heel[..., 1], ball[..., 1])[..., _RIGHT]
    # A foot is lifted before it travels and set down after.
    clear = _CLEARANCE * ease(4 * free) + 0.05 * np.sin(np.pi * free) ** 2
    ankle[:, :, _RIGHT, 1] += np.maximum(clear - low, 0.0)
    return Pose(plan.root, plan.core, plan.sides, ankle, foot, planted.hinge)
