"""Personal style: standard-normal traits, what they scale to, and what they do to a posture and a gait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.motion.anthropometry import Body, Floats
from common.motion.forward import (
    ABDUCTION,
    ADDUCTION,
    ARM_ROTATION,
    ELBOW,
    HIP,
    HIP_ROTATION,
    KNEE,
    SHOULDER,
    SIDE,
)
from common.motion.gait import Gait, run_cadence, run_stance, walk_cadence, walk_stance
from common.motion.gait_angles import CHANNELS, HARMONICS, shift_phase, table

_SHAPES: Final[dict[str, int]] = {
    "tempo": 1, "amplitude": 1, "toe_out": 1, "width": 1, "stagger": 1,
    "cadence": 1,
    "offset": len(CHANNELS), "gain": len(CHANNELS), "lag": len(CHANNELS),
    "harmonic": 4 * len(CHANNELS), "asymmetry": len(SIDE),
    "squat_depth": 1, "squat_ankle": 1, "squat_lean": 1, "squat_arms": 1, "squat_knees": 1,
    "jump_depth": 1, "jump_height": 1, "jump_arms": 1, "jump_landing": 1, "jump_lean": 1,
    "wave_abduction": 1, "wave_elbow": 1, "wave_swing": 1, "wave_rate": 1, "wave_turn": 1,
    "kick_hip": 1, "kick_back": 1, "kick_knee": 1, "kick_time": 1, "kick_arm": 1,
    "sit_time": 1, "sit_lean": 1, "sit_back": 1, "sit_feet": 1, "sit_knees": 1, "sit_hands": 1,
    "turn_time": 1, "turn_angle": 1, "turn_lead": 1,
    "punch_time": 1, "punch_crouch": 1, "punch_lean": 1, "punch_height": 1, "punch_guard": 1,
    "reach_far": 1, "reach_twist": 1, "pick_knees": 1, "pick_twist": 1, "pick_far": 1,
}  # fmt: skip
_ENDS = np.cumsum(list(_SHAPES.values()))
_SLICES: Final = {
    name: slice(int(end) - size, int(end)) for (name, size), end in zip(_SHAPES.items(), _ENDS, strict=True)
}
STYLE_AXES: Final = int(_ENDS[-1])
"""How many standard-normal numbers describe a style."""
STYLE_NAMES: Final[tuple[str, ...]] = tuple(
    name if size == 1 else f"{name}_{number + 1}" for name, size in _SHAPES.items() for number in range(size)
)
"""A name for each of them."""

# Degrees, in the order of CHANNELS: the sides' angles, then those of the axis of the body.
_OFFSET_SD: Final[Floats] = np.deg2rad(
    [2.0, 0.7, 1.5, 2.0, 1.5, 4.0, 3.0, 5.0, 6.0, 0.0, 0.0, 2.0, 3.0, 0.7, 0.0, 5.0, 1.5]
)
# Hips and knees vary little: what is left of them after the speed is met is their ratio.
_GAIN_SD: Final[Floats] = np.array([0.03, 0.12, 0.12, 0.04, 0.08] + [0.14] * 4 + [0.12] * 8)
_LAG_SD: Final = 0.015
_HARMONIC_SD: Final[Floats] = np.array([0.06, 0.04, 0.06, 0.04])
_ASYMMETRY_SD: Final = 0.03
_STANDING: Final = {SHOULDER: 3.0, ABDUCTION: 7.0, ARM_ROTATION: 22.0, ELBOW: 14.0}


@dataclass(frozen=True, eq=False)
class Motions:
    """What B motions of one action are made from.

    `style` `[B, STYLE_AXES]` in standard deviations, clip variation included; `preferred` `[B, 2]`
    walking and running speed m/s; `walk_ratio` `[B]` m/(steps/min); `girth` `[B]` extra arm
    abduction in radians; `left` `[B]` whether the left hand or foot acts; `chance` `[B, N]`
    uniform draws of the clip; `turning` the share of walks and runs along a curve.
    """

    body: Body
    stature: Floats
    style: Floats
    preferred: Floats
    walk_ratio: Floats
    girth: Floats
    left: NDArray[np.bool_]
    chance: Floats
    turning: float = 0.0

    def trait(self, name: str) -> Floats:
        """One trait, `[B, 1]` or `[B, size]`: ready to broadcast over frames."""
        return self.style[:, _SLICES[name]]

    @property
    def tempo(self) -> Floats:
        """Factor on durations, logN(0, 0.12), `[B, 1]`."""
        return np.exp(0.12 * np.clip(self.trait("tempo"), -2.5, 2.5))

    @property
    def amplitude(self) -> Floats:
        """Factor on ranges of movement, logN(0, 0.10), `[B, 1]`."""
        return np.exp(0.10 * np.clip(self.trait("amplitude"), -2.5, 2.5))

    @property
    def toe_out(self) -> Floats:
        """Toe-out angle in radians, `[B]`."""
        return np.deg2rad(np.clip(7.0 + 5.0 * self.trait("toe_out")[:, 0], -3.0, 20.0))


def style_slice(name: str) -> slice:
    """Where a trait lies in a style vector."""
    return _SLICES[name]


def posture(motions: Motions) -> tuple[Floats, Floats]:
    """Standing posture: `core` `[B, 8]` and `sides` `[B, 2, 9]` in radians, arms hanging.

    Left-handed actions are made right-handed and mirrored, so their sideways offsets are mirrored
    here first: a person keeps one posture.
    """
    offset = _OFFSET_SD * motions.trait("offset")
    core = offset[:, len(SIDE) :].copy()
    mirror = np.where(motions.left, -1.0, 1.0)[:, None]
    core[:, (0, 1, 4, 5, 7)] *= mirror
    sides = np.repeat(offset[:, None, : len(SIDE)], 2, axis=1)
    sides[:, :, :SHOULDER] = 0  # the legs follow from feet and pelvis
    for channel, degrees in _STANDING.items():
        sides[:, :, channel] += np.deg2rad(degrees)
    sides[:, :, ABDUCTION] += motions.girth[:, None]
    _limit_arms(sides)
    return core, sides


def _limit_arms(sides: Floats) -> None:
    sides[..., ELBOW] = np.maximum(sides[..., ELBOW], np.deg2rad(4.0))
    sides[..., ABDUCTION] = np.maximum(sides[..., ABDUCTION], np.deg2rad(3.0))


def gait_of(motions: Motions, running: bool) -> Gait:
    """The person's walk or run at the speed of the clip; the leg gain is not yet solved."""
    if running:
        speed = np.clip(motions.preferred[:, 1], 2.2, 4.2)
        cadence = run_cadence(speed) * np.exp(0.03 * motions.trait("cadence")[:, 0])
        stance = run_stance(speed)
    else:
        speed = np.clip(motions.preferred[:, 0], 0.75, 1.9)
        cadence = walk_cadence(speed, motions.walk_ratio)
        stance = walk_stance(speed)
    coefficients = _styled(motions, running, speed, cadence)
    return Gait(coefficients, speed, cadence, stance, motions.toe_out, running)


def _styled(motions: Motions, running: bool, speed: Floats, cadence: Floats) -> Floats:
    """Coefficients `[B, 2, 17, 11]` of spec C = C_action + sum_m z_m B_m."""
    base = table(running)
    people, channels = len(speed), len(CHANNELS)
    size = np.hypot(base[:, 1], base[:, 1 + HARMONICS]) + np.hypot(base[:, 2], base[:, 2 + HARMONICS])
    one = np.repeat(base[None], people, axis=0)
    noise = motions.trait("harmonic").reshape(people, channels, 4) * _HARMONIC_SD
    noise[:, (HIP, KNEE)] *= 0.6
    one[:, :, (1, 2, 1 + HARMONICS, 2 + HARMONICS)] += noise * size[:, None]
    swing = np.exp(_GAIN_SD * np.clip(motions.trait("gain"), -2.5, 2.5))
    swing[:, ADDUCTION : HIP_ROTATION + 1] *= motions.amplitude
    swing[:, SHOULDER:] *= motions.amplitude
    reach = np.clip(speed / (2.9 if running else 1.3), 0.6, 1.5)[:, None]
    swing[:, SHOULDER : len(SIDE)] *= reach
    one[:, :, 1:] *= swing[..., None]
    one[:, :, 0] += _OFFSET_SD * motions.trait("offset")
    one[:, ABDUCTION, 0] += motions.girth
    lag = _LAG_SD * motions.trait("lag") * (cadence / 120.0)[:, None]
    lag[:, :5] *= 0.5
    lag[:, len(SIDE) : len(SIDE) + 3] = 0
    one = shift_phase(one, lag)
    both = np.repeat(one[:, None], 2, axis=1)
    tilt = _ASYMMETRY_SD / 2 * motions.trait("asymmetry")
    both[:, 0, : len(SIDE), 1:] *= (1 + tilt)[..., None]
    both[:, 1, : len(SIDE), 1:] *= (1 - tilt)[..., None]
    both[..., 0] = _level_head(both[..., 0])
    return both


def _level_head(means: Floats) -> Floats:
    """Half of a trunk's lean is taken back by the neck: people look where they go."""
    extension, neck = CHANNELS.index("lumbar_extension"), CHANNELS.index("neck_flexion")
    out = means.copy()
    out[..., neck] += 0.5 * np.minimum(means[..., extension], 0.0)
    return out
