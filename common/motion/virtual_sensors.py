"""Accelerometer and gyroscope worn by a procedural person: at the wrist, in the pocket or at the pelvis.

The position of the device is differentiated twice, gravity is added (an accelerometer at rest reads
9.81 m/s^2 upwards), and both are turned into the frame of the segment it sits on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal, get_args

import numpy as np
from scipy.spatial.transform import Rotation

from common.motion.anthropometry import Floats
from common.motion.clock import resample
from common.motion.gait_angles import ease
from common.motion.people import Population
from common.motion.population import performances
from common.motion.recording import Array, Recording
from common.motion.sensors import SENSOR

Mount = Literal["watch", "phone", "pelvis"]
MOUNTS: Final[tuple[Mount, ...]] = get_args(Mount)
"""Left wrist, right trouser pocket, and the back of the pelvis."""
RATE: Final = 60.0
"""Frames a second at which motions are made for the sensors."""
GRAVITY: Final = 9.81

_PELVIS, _LEFT_HIP, _RIGHT_HIP, _SPINE, _CHEST, _NECK = 0, 1, 2, 3, 9, 12
_KNEE, _COLLARS, _SHOULDER, _ELBOW, _WRIST = 5, (13, 14), 16, 18, 20
_AT_ONCE: Final = 32  # people
_PRONATION: Final = 1.0  # of the elbow's flexion: a forearm that is held level shows its back upwards
_STRAIGHT: Final = np.deg2rad(6.0)
_MISPLACED: Final = np.deg2rad(10.0)
_WHITE: Final = np.repeat([0.05, 0.01], 3)  # m/s^2 and rad/s, each sample
_BIAS: Final = np.repeat([0.05, 0.01], 3)
_WALK: Final = np.repeat([0.01, 0.002], 3)  # of the bias, per root second
_POCKETS: Final = ((0.0, 0.0), (np.pi, 0.0), (0.0, np.pi), (np.pi, np.pi))
"""Turns about the thigh and about the screen's normal: screen in or out, upright or upside down."""
_EVENTS: Final = ("sit", "stand", "turn")


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9))


def _frame(left: Floats, up: Floats) -> Floats:
    """Columns left, up, forward, `[..., 3, 3]`, from two directions that need not be orthogonal."""
    x = _unit(left)
    z = _unit(np.cross(x, up))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def segment(joints: Floats, mount: Mount) -> tuple[Floats, Floats]:
    """Where a device is, `[B, T, 3]` metres, and its axes `[B, T, 3, 3]` (columns) on joints `[B, T, 22, 3]`.

    `watch`: x towards the hand, z out of the back of the forearm. `phone`: y up along the thigh, z
    forward. `pelvis`: x left, y up, z forward.
    """
    pelvis = _frame(
        joints[..., _LEFT_HIP, :] - joints[..., _RIGHT_HIP, :],
        joints[..., _SPINE, :] - joints[..., _PELVIS, :],
    )
    if mount == "pelvis":
        return joints[..., _PELVIS, :] - 0.10 * pelvis[..., 2], pelvis
    if mount == "phone":
        hip, knee = joints[..., _RIGHT_HIP, :], joints[..., _KNEE, :]
        thigh = _carried(pelvis, _unit(knee - hip))
        return hip + 0.35 * (knee - hip) + 0.07 * thigh[..., 2], thigh
    chest = _frame(
        joints[..., _COLLARS[0], :] - joints[..., _COLLARS[1], :],
        joints[..., _NECK, :] - joints[..., _CHEST, :],
    )
    upper = _unit(joints[..., _ELBOW, :] - joints[..., _SHOULDER, :])
    lower = _unit(joints[..., _WRIST, :] - joints[..., _ELBOW, :])
    out = _outward(chest, upper, lower)
    axes = np.stack([lower, np.cross(out, lower), out], axis=-1)
    return joints[..., _WRIST, :] - 0.04 * lower + 0.025 * out, axes


def _outward(chest: Floats, upper: Floats, lower: Floats) -> Floats:
    """Direction out of the back of the left forearm, `[B, T, 3]`.

    The axis about which the elbow bends, or the side of the body while the arm is straight; then
    turned with the pronation that goes with bending.
    """
    hinge = np.cross(lower, upper)
    sine = np.linalg.norm(hinge, axis=-1, keepdims=True)
    side = _carried(chest, lower)[..., 0]
    bent = ease((sine - np.sin(_STRAIGHT)) / (2 * np.sin(_STRAIGHT)))
    axis = bent * hinge / np.maximum(sine, 1e-6) + (1 - bent) * side
    axis = _unit(axis - (axis * lower).sum(axis=-1, keepdims=True) * lower)
    angle = _PRONATION * np.arccos(np.clip((upper * lower).sum(axis=-1, keepdims=True), -1.0, 1.0))
    return np.asarray(np.cos(angle) * axis + np.sin(angle) * np.cross(lower, axis))


def _carried(parent: Floats, bone: Floats) -> Floats:
    """Axes of a limb whose -Y is `bone` `[B, T, 3]`: hanging as its parent does, then without twist in it."""
    own = np.einsum("btij,bti->btj", parent, bone)  # the bone as its parent sees it
    axes = np.empty_like(parent)
    before = np.broadcast_to(np.array([0.0, -1.0, 0.0]), own[:, 0].shape)
    turn = np.broadcast_to(np.eye(3), parent[:, 0].shape)
    for frame in range(own.shape[1]):
        turn = _swing(before, own[:, frame]) @ turn
        axes[:, frame] = turn
        before = own[:, frame]
    return parent @ axes


def _swing(start: Floats, end: Floats) -> Floats:
    """Smallest rotation of one unit vector into another, `[B, 3, 3]` (Rodrigues)."""
    cross, dot = np.cross(start, end), (start * end).sum(axis=-1)
    skew = np.zeros((len(start), 3, 3))
    skew[:, (2, 0, 1), (1, 2, 0)] = cross
    skew[:, (1, 2, 0), (2, 0, 1)] = -cross
    return np.asarray(np.eye(3) + skew + skew @ skew / np.maximum(1.0 + dot, 1e-6)[:, None, None])


def measure(position: Floats, axes: Floats, rate: float) -> Floats:
    """What an ideal device reads: `[B, T - 2, 6]`, m/s^2 and rad/s, from its path at `rate` frames a second.

    Second central differences for the specific force; the rotation vector from the frame before to
    the frame after, in the device's axes, for the angular rate.
    """
    force = (position[:, 2:] - 2 * position[:, 1:-1] + position[:, :-2]) * rate**2
    force[..., 1] += GRAVITY
    middle = axes[:, 1:-1]
    felt = np.einsum("btij,bti->btj", middle, force)
    # Columns of `axes` are the device's axes, so this product is the turn as the device feels it.
    step = np.swapaxes(axes[:, :-2], -1, -2) @ axes[:, 2:]
    turned = Rotation.from_matrix(step.reshape(-1, 3, 3)).as_rotvec().reshape(felt.shape)
    return np.concatenate([felt, turned * rate / 2], axis=-1)


def _mounting(mount: Mount, random: np.random.Generator) -> Floats:
    """How one person wears the device: a rotation of its axes `[3, 3]`."""
    slip = Rotation.from_rotvec(_MISPLACED * random.standard_normal(3))
    about, normal = _POCKETS[int(random.integers(len(_POCKETS)))]
    if mount == "phone":
        slip = Rotation.from_euler("yz", [about, normal]) * slip
    return np.asarray(slip.as_matrix())


def _noise(samples: int, random: np.random.Generator) -> Floats:
    """White noise on a bias that wanders, `[samples, 6]`."""
    steps = _WALK / np.sqrt(SENSOR.rate) * random.standard_normal((samples, 6))
    bias = _BIAS * random.standard_normal(6) + np.cumsum(steps, axis=0)
    return np.asarray(bias + _WHITE * random.standard_normal((samples, 6)))


def sense(
    population: Population,
    seed: int,
    indices: Sequence[int],
    mount: Mount,
    motions: int = 4,
    frames: int = 184,
    rate: float = SENSOR.rate,
) -> Iterator[Recording]:
    """What devices on these people record, samples float32 `[n, 6]` at `rate`: channels as in `SENSOR`.

    `frames` at 60 a second is the length of a motion before resampling; sitting down, standing up
    and turning are cut to the movement itself. A person wears the device the same way in all of
    their motions.
    """
    tag = zlib.crc32(f"{population.name} {mount}".encode())
    made = performances(population, seed, indices, motions, frames, RATE)
    for first in range(0, len(indices), _AT_ONCE):
        crowd = indices[first : first + _AT_ONCE]
        randoms = [np.random.default_rng(np.random.SeedSequence((tag, seed, index))) for index in crowd]
        worn = np.repeat([_mounting(mount, random) for random in randoms], motions, axis=0)
        own = [next(made) for _ in range(len(crowd) * motions)]
        joints = np.array([recording.samples for recording, _ in own], dtype=np.float64)
        position, axes = segment(joints, mount)
        read = measure(position, axes @ worn[:, None], RATE)
        times = np.arange(1, 1 + read.shape[1]) / RATE
        even = np.moveaxis(resample(times, np.moveaxis(read, 0, 1), rate), 1, 0)
        for number, ((recording, facts), values) in enumerate(zip(own, even, strict=True)):
            noisy = (values + _noise(len(values), randoms[number // motions])).astype(np.float32)
            samples = _event(recording.label or "", facts, noisy, rate)
            yield Recording(
                person=recording.person, name=recording.name, label=recording.label, samples=samples,
                captions=recording.captions,
            )  # fmt: skip


def _event(action: str, facts: dict[str, float], samples: Array, rate: float) -> Array:
    if action not in _EVENTS:
        return samples
    start = facts["start"] - 1 / RATE
    first = max(0, round(start * rate))
    return samples[first : round((start + facts["duration"]) * rate) + 1]
