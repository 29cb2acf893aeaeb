"""From joints as a file has them to ours: axes, length unit, frame rate, floor and heading."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import InputError
from common.motion.clock import resample
from common.motion.kinematics import bone_lengths, place, project_bones
from common.motion.skeleton import FRAME_RATE, JOINTS

Floats = NDArray[np.float64]

UNITS: Final = {"m": 1.0, "CMU (1/0.45 inch)": 0.0254 / 0.45, "inch": 0.0254, "cm": 0.01, "mm": 0.001}
"""Metres in one length unit of a file."""
HUGE: Final = 1e7
"""Ten kilometres in millimetres: no coordinate of a file is beyond."""

_LEG_SHARE: Final = 0.245 + 0.246  # thigh and shank of stature (Drillis and Contini 1964)
_STATURE: Final = (0.5, 1.70, 2.6)  # lowest, typical and highest stature, metres
_LOWEST_RATE: Final = 5.0
_HIGHEST_RATE: Final = 10_000.0
_LONGEST: Final = 6 * 3600.0  # seconds
_UPRIGHT: Final = 0.9  # mean cosine from which a clip counts as upright along an axis
_FASTEST: Final = 25.0  # metres a second of the pelvis; sprinters reach 12
_LEGS: Final = ((4, 1), (5, 2), (7, 4), (8, 5))
_ARMS: Final = ((18, 16), (20, 18), (17, 19), (19, 21))
_STRAIGHT: Final = 0.9  # cosine from which a limb of a T-pose counts as straight out
_JUMP: Final = (
    0.25  # of the legs' length: how far some joint of a T-pose is from the first real frame at least
)


class Motion(NamedTuple):
    """One motion of a file: `joints` float32 `[frames, 22, 3]`, metres at 20 fps, and where it came from.

    `names` are the file's own joints, `skeleton` the convention by which they were read.
    """

    joints: NDArray[np.float32]
    names: tuple[str, ...]
    unit: str
    source_rate: float
    skeleton: str


def settle(
    path: Path,
    joints: ArrayLike,
    rate: float,
    *,
    up: ArrayLike,
    skeleton: str,
    names: tuple[str, ...] = (),
    unit: str | None = None,
) -> Motion:
    """`joints` `[frames, 22, 3]` at `rate` fps as ours: on the floor, at the origin, facing +Z in frame 0.

    - Up: the signed axis along which the clip stands upright throughout (mean cosine of
      feet -> neck above 0.9), or else the one nearest to `up`.
    - Unit: `unit` if the format states it; else of metres, CMU units, inches, centimetres and
      millimetres the one that puts stature = (thigh + shank) / 0.491 nearest to 1.70 m on
      a log scale. Outside 0.5 .. 2.6 m none fits.
    - Rate: anti-aliased resampling to 20 fps (`common.motion.clock`), then the bones' own
      lengths again.

    Raises InputError naming `path` on too few frames, values that are no numbers, no
    fitting unit, or a body that moves faster than 25 m/s.
    """
    positions = np.asarray(joints, np.float64)
    check_clock(path, len(positions), rate)
    check_numbers(path, positions)
    positions = positions @ _to_y_up(_up_axis(positions, np.asarray(up, np.float64)))
    unit = _unit(path, positions, unit)
    positions = positions * UNITS[unit]
    lengths = bone_lengths(positions)
    smooth = resample(np.arange(len(positions)) / rate, positions, FRAME_RATE)
    placed = place(project_bones(smooth, lengths, rigid=False)).astype(np.float32)
    _check_speed(path, placed)
    return Motion(placed, names, unit, rate, skeleton)


def check_clock(path: Path, frames: int, rate: float) -> None:
    """InputError unless there are two frames and a believable rate and duration."""
    if frames < 2 or not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise InputError(
            f"{path}: {frames} frames at {rate:.3g} fps are no motion; "
            f"at least 2 frames at {_LOWEST_RATE:g} to {_HIGHEST_RATE:g} fps are needed"
        )
    if frames / rate > _LONGEST:
        raise InputError(f"{path}: {frames} frames at {rate:.3g} fps last over 6 hours; cut the recording")


def check_numbers(path: Path, values: ArrayLike, limit: float = HUGE) -> None:
    """InputError naming the first frame of `values` `[frames, ...]` that is not finite or beyond `limit`."""
    array = np.asarray(values)
    good = (np.abs(array) < limit).reshape(len(array), -1).all(axis=1)  # NaN compares false
    if not good.all():
        raise InputError(f"{path}: frame {int(np.argmin(good)) + 1} holds NaN, infinity or an absurd value")


def leading_t_pose(joints: Floats) -> int:
    """1 where frame 0 of `[frames, 22, 3]` is a calibration pose from which the body jumps, else 0.

    Arms straight out on one line, legs straight, and then a step of some joint that is both far
    (a quarter of the legs) and three times the farthest of the next ten: such a frame is the exporter's.
    """
    if len(joints) < 3:
        return 0
    first = joints[0]
    bones = np.stack([first[end] - first[start] for end, start in (*_LEGS, *_ARMS)])
    bones /= np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)
    legs, arms = bones[: len(_LEGS)], bones[len(_LEGS) :]
    if (legs @ legs[0]).min() < _STRAIGHT or (arms @ arms[0]).min() < _STRAIGHT:
        return 0
    if abs(legs[0] @ arms[0]) > 1 - _STRAIGHT:
        return 0
    posture = joints[:12] - joints[:12, :1]
    steps = np.linalg.norm(np.diff(posture, axis=0), axis=-1).max(axis=-1)
    reach = sum(float(np.linalg.norm(first[end] - first[start])) for end, start in _LEGS) / 2
    return int(steps[0] > max(_JUMP * reach, 3 * float(steps[1:].max())))


def _up_axis(joints: Floats, rest: Floats) -> Floats:
    neck_from_feet = joints[:, 12] - (joints[:, 7] + joints[:, 8]) / 2
    upright = neck_from_feet / np.maximum(np.linalg.norm(neck_from_feet, axis=1, keepdims=True), 1e-9)
    mean = upright.mean(axis=0)
    axis = mean if np.abs(mean).max() > _UPRIGHT else rest
    strongest = int(np.argmax(np.abs(axis)))
    return np.asarray(np.copysign(1.0, axis[strongest]) * np.eye(3)[strongest], np.float64)


def _to_y_up(up: Floats) -> Floats:
    """Matrix M so that `positions @ M` has `up` along +Y: the shortest turn, no mirror."""
    if up[1] == 0:
        y = np.array([0.0, 1.0, 0.0])
        third = np.cross(up, y)
        return np.asarray(np.stack([up, y, third], axis=1) @ np.stack([y, -up, third]), np.float64)
    return np.diag(np.array([1.0, up[1], up[1]]))


def _unit(path: Path, joints: Floats, stated: str | None) -> str:
    lengths = bone_lengths(joints)
    stature = lengths[[4, 5, 7, 8]].sum() / 2 / _LEG_SHARE
    lowest, typical, highest = _STATURE
    name = stated or min(UNITS, key=lambda unit: abs(np.log(max(stature, 1e-12) * UNITS[unit] / typical)))
    if not lowest <= stature * UNITS[name] <= highest:
        fit = f"are no person's in {name}" if stated else "fit a person in no known length unit"
        raise InputError(
            f"{path}: legs of {stature * _LEG_SHARE:.3g} units {fit}; scale "
            f"the file to metres (a stature of {lowest:g} to {highest:g} m)"
        )
    return name


def _check_speed(path: Path, joints: NDArray[np.float32]) -> None:
    assert joints.shape[1:] == (JOINTS, 3)
    speeds = np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=-1) * FRAME_RATE
    if speeds.max(initial=0.0) > _FASTEST:
        raise InputError(
            f"{path}: the body moves at {speeds.max():.3g} m/s {int(speeds.argmax()) / FRAME_RATE:.2f} s in; "
            "mend the broken frame, or give positions the unit of the bones"
        )
