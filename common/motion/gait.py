"""Walking and running: from coefficients to root, feet and poses.

Everything about a stride is worked out once on a grid over its phase and read off at the frames,
so that feet stay locked under changes of tempo and nothing is left to alias at 20 fps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.motion.anthropometry import Body, Floats
from common.motion.forward import HIP, KNEE, Pose, leg_chain, sole_points
from common.motion.gait_angles import RUN_STANCE, WALK_STANCE, angles, ease, side_phase, unwrap, window

_GRID = 96
_COARSE = 48
# Harmonics of the stride kept in the path of the root: more would shake it, and alias at 20 fps.
# The course of the pelvis is close to one wave a step; what the angles add above shakes a worn sensor.
_HEIGHT_SHARES = np.array([1.0, 1.0, 1.0, 0.7, 0.45, 0.3, 0.2])
_HEIGHT_HARMONICS, _WALK_HARMONICS, _RUN_HARMONICS = 6, 4, 2
_WALK_CLEARANCE, _RUN_CLEARANCE, _CLEARANCE_SOFTNESS = 0.024, 0.040, 0.006
# Forward speed varies little over the step; angles alone, without forces, overdo it.
_WALK_SURGE, _RUN_SURGE = 0.6, 0.4
_GAIN_RANGE = (0.4, 1.9)
_GRAVITY = 9.81


@dataclass(frozen=True, eq=False)
class Gait:
    """B gaits: `coefficients` `[B, 2, 17, 11]`, and `[B]`: `speed` m/s, `cadence` steps/min,
    `stance` share of the stride on the floor, `toe_out` radians; `running` is one for all."""

    coefficients: Floats
    speed: Floats
    cadence: Floats
    stance: Floats
    toe_out: Floats
    running: bool

    @property
    def stride_time(self) -> Floats:
        """Seconds for two steps."""
        return 120.0 / self.cadence

    def angles(self, phase: Floats) -> tuple[Floats, Floats]:
        """`core` `[B, T, 8]` and `sides` `[B, T, 2, 9]` at stride phases `[B, T]`."""
        recorded = RUN_STANCE if self.running else WALK_STANCE
        return angles(phase, self.coefficients, self.stance, recorded)

    @property
    def stride_length(self) -> Floats:
        """Metres for two steps."""
        return self.speed * self.stride_time


@dataclass(frozen=True, eq=False)
class Stride:
    """One stride on the phase grid: `root` `[B, G, 3]` about uniform travel along Z, and what the
    ankles must move to keep the feet where they stand, `shift` `[B, G, 2, 3]`."""

    root: Floats
    shift: Floats


def walk_cadence(speed: Floats, walk_ratio: Floats) -> Floats:
    """Steps a minute from the constant ratio of step length to cadence (Sekiya), m/(steps/min)."""
    return np.asarray(np.sqrt(60.0 * speed / walk_ratio))


def walk_stance(speed: Floats) -> Floats:
    """Share of the stride on the floor, 0.62 at 1.3 m/s."""
    return np.clip(0.62 - 0.05 * (speed - 1.3), 0.57, 0.66)


def run_cadence(speed: Floats) -> Floats:
    """Steps a minute: 154 at 2.4 m/s (PLOS ONE 2017), 175 at 3.96 m/s (Hamner et al. 2010)."""
    return np.asarray(154.0 + 13.5 * (speed - 2.4))


def run_stance(speed: Floats) -> Floats:
    """Share of the stride on the floor, 0.38 at 2.5 m/s, 0.335 at 4 m/s: every step has a flight."""
    return np.clip(0.38 - 0.03 * (speed - 2.5), 0.32, 0.39)


def _support(gait: Gait, phase: Floats) -> tuple[Floats, Floats]:
    """Weight on each foot and how far the support has rolled from heel to ball, `[B, T, 2]`."""
    stance = gait.stance[:, None, None]
    if gait.running:
        rise = fall = np.full_like(stance, 0.05)
    else:
        rise = fall = stance - 0.5
    own = side_phase(phase)
    weight = window(own, np.zeros_like(stance), rise, stance - fall, fall)
    roll = ease((unwrap(own, stance / 2) / stance - 0.15) / 0.45)
    return weight, roll


def _contact_velocity(gait: Gait, body: Body, phase: Floats) -> tuple[Floats, Floats, Floats]:
    """Weights `[B, G, 2]`, velocity per stride of each support point with the root at the origin
    `[B, G, 2, 3]`, and the height of the lowest sole point of each foot `[B, G, 2]`."""
    core, sides = gait.angles(phase)
    ankle, foot, _ = leg_chain(body, core, sides, gait.toe_out)
    heel, ball = sole_points(body, ankle, foot)
    weight, roll = _support(gait, phase)
    rolled = roll[..., None]
    point = (1 - rolled) * _slope(heel) + rolled * _slope(ball)
    return weight, point, np.minimum(heel[..., 1], ball[..., 1])


def _slope(values: Floats) -> Floats:
    """Derivative by phase of a periodic `[B, G, ...]`."""
    return np.asarray((np.roll(values, -1, axis=1) - np.roll(values, 1, axis=1)) * (values.shape[1] / 2))


def _grid(count: int, people: int) -> Floats:
    return np.broadcast_to(np.arange(count) / count, (people, count))


def _emergent_stride(gait: Gait, body: Body) -> Floats:
    weight, point, _ = _contact_velocity(gait, body, _grid(_COARSE, len(gait.speed)))
    return np.asarray(-(weight * point[..., 2]).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)))


def with_gain(gait: Gait, gain: Floats) -> Gait:
    """Scale the swing of the legs about its mean: hips by the gain, knees by less of it.

    Knee flexion in swing hardly depends on speed; a knee that followed would kick up the heels.
    """
    coefficients = gait.coefficients.copy()
    for channel, share in ((HIP, 1.0), (KNEE, 0.5)):
        coefficients[:, :, channel, 1:] *= (gain**share)[:, None, None]
    return replace(gait, coefficients=coefficients)


def match_speed(gait: Gait, body: Body, steps: int = 5) -> Gait:
    """The gait whose planted feet carry it at the requested speed: secant search on one gain."""
    low, high = np.ones(len(gait.speed)), np.full(len(gait.speed), 1.15)
    miss = _emergent_stride(gait, body) - gait.stride_length
    for _ in range(steps):
        now = _emergent_stride(with_gain(gait, high), body) - gait.stride_length
        slope = (now - miss) / np.where(np.abs(high - low) < 1e-9, 1e-9, high - low)
        step = -now / np.where(np.abs(slope) < 0.05, 0.05, slope)
        low, miss = high, now
        high = np.clip(high + np.clip(step, -0.3, 0.3), *_GAIN_RANGE)
    return with_gain(gait, high)


def _low_pass(values: Floats, harmonics: int) -> Floats:
    spectrum = np.fft.rfft(values, axis=1)
    spectrum[:, harmonics + 1 :] = 0
    return np.fft.irfft(spectrum, n=values.shape[1], axis=1)


def _integrate(rate: Floats) -> Floats:
    """Periodic integral over the stride of a rate without mean."""
    spectrum = np.fft.rfft(rate, axis=1)
    order = np.arange(spectrum.shape[1])
    spectrum[:, 0] = 0
    spectrum[:, 1:] /= (2j * np.pi * order[1:])[:, None]
    return np.fft.irfft(spectrum, n=rate.shape[1], axis=1)


def build_stride(gait: Gait, body: Body) -> Stride:
    """Root path and foot corrections over one stride."""
    phase = _grid(_GRID, len(gait.speed))
    weight, point, low = _contact_velocity(gait, body, phase)
    total = weight.sum(axis=2)
    held = np.minimum(total, 1.0)
    velocity = -(weight[..., None] * point).sum(axis=2) / np.maximum(total, 1e-6)[..., None]
    mean = (held[..., None] * velocity).sum(axis=1) / held.sum(axis=1)[:, None]
    velocity = held[..., None] * velocity + (1 - held)[..., None] * mean[:, None]
    velocity = _low_pass(velocity, _RUN_HARMONICS if gait.running else _WALK_HARMONICS)
    velocity -= velocity.mean(axis=1, keepdims=True)
    velocity[..., 2] *= _RUN_SURGE if gait.running else _WALK_SURGE
    root = _integrate(velocity)
    root[..., 1] = _run_height(gait, weight, low, phase) if gait.running else _walk_height(weight, low)
    velocity[..., 2] += gait.stride_length[:, None]
    velocity[..., 1] = 0
    shift = _lock_feet(gait, phase, velocity[:, :, None] + point, root[..., None, 1] + low)
    return Stride(root, shift)


def _walk_height(weight: Floats, low: Floats) -> Floats:
    height = -(weight * low).sum(axis=2) / weight.sum(axis=2)
    spectrum = np.fft.rfft(height, axis=1)
    spectrum[:, : len(_HEIGHT_SHARES)] *= _HEIGHT_SHARES
    spectrum[:, len(_HEIGHT_SHARES) :] = 0
    return np.fft.irfft(spectrum, n=height.shape[1], axis=1)


def _run_height(gait: Gait, weight: Floats, low: Floats, phase: Floats) -> Floats:
    """Pelvis height from the forces of a step: free fall in flight, half a sine on the floor.

    Their mean carries the weight, so the peak force is pi / (4 stance) times it; the height is their
    double integral, and its level that of the planted feet.
    """
    stance = gait.stance[:, None]
    force = np.zeros_like(phase)
    for own in np.moveaxis(side_phase(phase), -1, 0):
        share = np.mod(own, 1.0) / stance
        force += np.where(share < 1, np.sin(np.pi * share), 0.0)
    force *= _GRAVITY * gait.stride_time[:, None] ** 2 / force.mean(axis=1, keepdims=True)
    rise = _integrate(_integrate((force - force.mean(axis=1, keepdims=True))[..., None]))
    course = _low_pass(rise, _HEIGHT_HARMONICS)[..., 0]
    level = (weight * (-low - course[..., None])).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    return np.asarray(level[:, None] + course)


def _lock_feet(gait: Gait, phase: Floats, slip: Floats, height: Floats) -> Floats:
    """Ankle corrections `[B, G, 2, 3]` from slip velocity per stride and sole height.

    In stance the foot is held where it was at mid-stance, on the floor; in swing the correction
    fades and the sole is kept clear of the floor.
    """
    stance = gait.stance[:, None, None]
    own = side_phase(phase)

    # From `early` (shares of the stride) about strike to `late` about the end of stance.
    def during(early: float, rise: float, late: float, fall: float) -> Floats:
        one = np.ones_like(stance)
        return window(own, early * one, rise * one, stance + late, fall * one)

    # Only what slips while planted is undone; half a swing is left to take the correction back.
    slip = slip * during(-0.02, 0.05, -0.04, 0.05)[..., None]
    hold, down = during(-0.20, 0.19, 0.0, 0.20), during(-0.09, 0.09, -0.02, 0.10)
    middle = 0.18 if gait.running else 0.30
    drift = np.empty_like(slip)
    for side, offset in enumerate((0.5, 0.0)):
        start = round((middle - offset - 0.5) * _GRID)
        ordered = np.roll(slip[:, :, side], -start, axis=1)
        path = np.cumsum((ordered + np.roll(ordered, 1, axis=1)) / (2 * _GRID), axis=1)
        drift[:, :, side] = np.roll(path - path[:, _GRID // 2, None], start, axis=1)
    shift = -hold[..., None] * drift
    lacking = (_RUN_CLEARANCE if gait.running else _WALK_CLEARANCE) - height
    lifted = _CLEARANCE_SOFTNESS * np.logaddexp(0.0, lacking / _CLEARANCE_SOFTNESS)
    shift[..., 1] = -down * height + (1 - down) * lifted
    return shift


def pose_gait(gait: Gait, body: Body, stride: Stride, phase: Floats) -> Pose:
    """Poses at stride phases `[B, T]` (unwrapped: whole strides count as travel)."""
    core, sides = gait.angles(phase)
    ankle, foot, hinge = leg_chain(body, core, sides, gait.toe_out)
    people, frames = phase.shape
    flat = np.concatenate([stride.root, stride.shift.reshape(people, _GRID, 6)], axis=2)
    place = np.mod(phase, 1.0) * _GRID
    before = np.floor(place).astype(np.int64)
    share = (place - before)[..., None]
    rows = np.arange(people)[:, None]
    read = (1 - share) * flat[rows, before % _GRID] + share * flat[rows, (before + 1) % _GRID]
    root = read[..., :3]
    root[..., 2] += gait.stride_length[:, None] * phase
    ankle = ankle + root[:, :, None] + read[..., 3:].reshape(people, frames, 2, 3)
    return Pose(root, core, sides, ankle, foot, hinge)
