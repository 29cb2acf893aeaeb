"""Feet that stand still: slip at contact taken out by a smooth shift of each foot and two-bone leg IK."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solveh_banded

from common.motion.limits import LEGS
from common.motion.skeleton import FRAME_RATE

Floats = NDArray[np.float64]

_HEIGHT: Final = (0.020, 0.035)  # m above the clip's floor: a toe surely on it, surely off it
_SPEED: Final = (0.45, 0.80)  # m/s: a toe that stands but for an error, one that swings
_EDGE: Final = 0.012  # share of its certainty that a step keeps beside one that swings: feet land and leave
_PLAY: Final = 0.010  # m a standing toe may leave its resting height by: soles roll
_BEND: Final = 0.02  # weight of the shift's second difference against slip of a standing toe
_PULL: Final = _BEND / 3.0**4  # weight of the shift itself: it fades over some three frames
_FULL_REACH: Final = 0.9995  # of thigh + shank: a leg that is shifted never locks its knee


def contacts(joints: ArrayLike, rate: float = FRAME_RATE) -> Floats:
    """How surely each toe stands from a frame to the next, 0 to 1: `[..., frames - 1, 2]`, left and right.

    A toe stands while it is within 2 cm of the floor (the clip's 2nd percentile of toe
    height) in both frames and slower than 0.45 m/s; beyond 3.5 cm or 0.8 m/s it does
    not; in between the certainty falls smoothly. The first and the last step of a
    contact, in which a foot still lands or already leaves, count for little.
    """
    toes = np.asarray(joints, np.float64)[..., [leg[3] for leg in LEGS], :]
    floor = np.percentile(toes[..., 1], 2, axis=(-2, -1), keepdims=True)
    height = toes[..., 1] - floor
    steps = np.diff(toes[..., [0, 2]], axis=-3)
    speed = np.linalg.norm(steps, axis=-1) * rate
    low = np.maximum(height[..., 1:, :], height[..., :-1, :])
    certain = _falling(low, *_HEIGHT) * _falling(speed, *_SPEED)
    before = np.concatenate([certain[..., :1, :], certain[..., :-1, :]], axis=-2)
    after = np.concatenate([certain[..., 1:, :], certain[..., -1:, :]], axis=-2)
    return np.asarray(certain * (_EDGE + (1 - _EDGE) * np.minimum(before, after)), np.float64)


def lock_feet(joints: ArrayLike, rate: float = FRAME_RATE) -> NDArray[np.float32]:
    """`joints` `[..., frames, 22, 3]` (Y up, constant bones) without slip of standing feet.

    Each foot, ankle and toe alike, is shifted by the smoothest path that takes the
    toe's steps out while it stands and keeps it at its resting height; away from
    contacts the shift fades over some three frames. The knee follows by two-bone IK in
    the plane it bent in. Hips, trunk and arms stay; bone lengths stay; a leg reaches no
    further than its bones, so what it cannot reach still slips. Many motions at once
    give the same as each by itself.
    """
    positions = np.asarray(joints, np.float64)
    if positions.shape[-3] < 3:
        return positions.astype(np.float32)
    certain = contacts(positions, rate)
    result = positions.copy()
    for side, leg in enumerate(LEGS):
        shift = _shift(positions[..., leg[3], :], certain[..., side])
        _move_foot(result, leg, shift)
    return result.astype(np.float32)


def _falling(value: Floats, full: float, none: float) -> Floats:
    """1 up to `full`, 0 from `none` on, a smoothstep in between."""
    s = np.clip((none - value) / (none - full), 0.0, 1.0)
    return np.asarray(s * s * (3 - 2 * s), np.float64)


def _shift(toe: Floats, certain: Floats) -> Floats:
    """The shift `[..., frames, 3]` of a foot whose toe is at `toe`; `certain` is `[..., frames - 1]`.

    Horizontally d minimises  sum w_t |d_t+1 - d_t + step_t|^2 + bend |D2 d|^2 + pull |d|^2,
    vertically                sum v_t |d_t - (wanted_t - y_t)|^2 + bend |D2 d|^2 + pull |d|^2.
    """
    slip = np.diff(toe[..., [0, 2]], axis=-2) * certain[..., None]
    wanted = np.zeros((*toe.shape[:-1], 2))
    wanted[..., :-1, :] += slip
    wanted[..., 1:, :] -= slip
    ground = _smoothest(np.zeros(toe.shape[:-1]), certain, wanted)
    stands = np.zeros(toe.shape[:-1])
    stands[..., :-1], stands[..., 1:] = certain, np.maximum(stands[..., 1:], certain)
    rise = _resting(toe[..., 1], stands) - toe[..., 1]
    height = _smoothest(stands, np.zeros_like(certain), (stands * rise)[..., None])
    return np.stack([ground[..., 0], height[..., 0], ground[..., 1]], axis=-1)


def _smoothest(places: Floats, steps: Floats, wanted: Floats) -> Floats:
    """Solve for d `[..., frames, k]` what weights of places and of steps and the penalties make of `wanted`.

    The matrix has two diagonals beside the main one: the work grows with the frames.
    """
    frames = places.shape[-1]
    bands = np.zeros((*places.shape[:-1], 3, frames))  # second above, first above, main
    bands[..., 0, 2:] = _BEND
    bands[..., 1, 1:-1] -= 2 * _BEND
    bands[..., 1, 2:] -= 2 * _BEND
    bands[..., 1, 1:] -= steps
    bands[..., 2, :] = _PULL + places
    for first, weight in ((0, 1), (1, 4), (2, 1)):
        bands[..., 2, first : frames - 2 + first] += weight * _BEND
    bands[..., 2, :-1] += steps
    bands[..., 2, 1:] += steps
    pairs = zip(bands.reshape(-1, 3, frames), wanted.reshape(-1, *wanted.shape[-2:]), strict=True)
    found = [solveh_banded(matrix, right, check_finite=False) for matrix, right in pairs]
    return np.asarray(np.reshape(found, wanted.shape), np.float64)


def _resting(height: Floats, stands: Floats) -> Floats:
    """Where a standing toe should be: within its play of its mean height while it stands."""
    total = stands.sum(axis=-1, keepdims=True)
    rest = (stands * height).sum(axis=-1, keepdims=True) / np.maximum(total, 1e-9)
    return np.clip(height, rest - _PLAY, rest + _PLAY)


def _move_foot(joints: Floats, leg: tuple[int, int, int, int], shift: Floats) -> None:
    """Shift the foot of `joints` in place and bend the leg to it."""
    hip, knee, ankle, toe = (joints[..., joint, :].copy() for joint in leg)
    thigh = np.linalg.norm(knee - hip, axis=-1, keepdims=True)
    shank = np.linalg.norm(ankle - knee, axis=-1, keepdims=True)
    before = np.linalg.norm(ankle - hip, axis=-1, keepdims=True)
    reach = ankle + shift - hip
    distance = np.linalg.norm(reach, axis=-1, keepdims=True)
    axis = reach / np.maximum(distance, 1e-9)
    furthest = np.maximum(_FULL_REACH * (thigh + shank), before)
    distance = np.clip(distance, np.minimum(np.abs(thigh - shank), before), furthest)
    along = (distance**2 + thigh**2 - shank**2) / np.maximum(2 * distance, 1e-9)
    out = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
    joints[..., leg[2], :] = hip + distance * axis
    joints[..., leg[1], :] = hip + along * axis + out * _pole(knee - hip, toe - ankle, axis, shift)
    joints[..., leg[3], :] = joints[..., leg[2], :] + toe - ankle


def _pole(thigh: Floats, foot: Floats, axis: Floats, shift: Floats) -> Floats:
    """The unit direction across `axis` to which a knee bends: as before, a straight one as the foot."""
    forward = _across(foot, axis)
    forward /= np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)
    pole = _across(thigh, axis) + np.linalg.norm(shift, axis=-1, keepdims=True) * forward
    return np.asarray(pole / np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-9), np.float64)


def _across(vector: Floats, axis: Floats) -> Floats:
    return np.asarray(vector - (vector * axis).sum(axis=-1, keepdims=True) * axis, np.float64)
