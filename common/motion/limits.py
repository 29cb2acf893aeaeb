"""How far knees and elbows bend: measured with a sign, and held within what a body can do."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.motion.kinematics import shortest_arcs
from common.motion.skeleton import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER

Floats = NDArray[np.float64]

LEGS: Final = ((1, 4, 7, 10), (2, 5, 8, 11))
"""Hip, knee, ankle and toe of the left and of the right leg."""
ARMS: Final = ((16, 18, 20), (17, 19, 21))
"""Shoulder, elbow and wrist of the left and of the right arm."""
FURTHEST: Final = 160.0
"""Largest flexion of knees and elbows, degrees."""
BACKWARD: Final = 10.0
"""How far an elbow bends the wrong way, degrees; a knee does not."""

_TURNED: Final = (150.0, 120.0)  # degrees between an elbow's axis and a fitting one: backward, surely not
_RAISED: Final = (40.0, 65.0)  # degrees from hanging: an upper arm that still is, that is raised


def flexion(joints: ArrayLike) -> Floats:
    """Signed flexion, degrees `[..., frames, 4]`: left and right knee, left and right elbow.

    The angle between the two bones of `joints` `[..., frames, 22, 3]`, below 0 where the
    joint bends the wrong way: a knee behind the line from hip to ankle, seen along the
    pelvis's left-right axis, carried to that line without twist, and also along the axis
    across line and foot; an elbow whose axis is more than 150 degrees off the one that fits the
    hanging arm, and off that of the outstretched arm. Positions do not show how an upper
    arm is turned about itself: where it is raised by more than 40 to 65 degrees, no elbow
    counts as bent the wrong way.
    """
    positions = np.asarray(joints, np.float64)
    knees = [np.where(_behind(positions, leg)[0] < 0, -1.0, 1.0) for leg in LEGS]
    elbows = [np.where(_elbow_fit(positions, arm) <= 0, -1.0, 1.0) for arm in ARMS]
    angles = [_angle(positions, limb)[0] for limb in (*LEGS, *ARMS)]
    signs = np.stack([*knees, *elbows], axis=-1)
    return np.asarray(np.degrees(np.stack(angles, axis=-1)) * signs, np.float64)


def limit_flexion(joints: ArrayLike) -> NDArray[np.float32]:
    """`joints` `[..., frames, 22, 3]` with every knee in 0..160 and every elbow in -10..160 degrees.

    A knee behind the line from hip to ankle is mirrored to its front: the foot stays. What
    bends too far, or an elbow backward, is bent back in the plane of its bones, and what
    hangs on the second bone moves with it. Between backward and surely not, an elbow's
    largest flexion rises smoothly. Bone lengths and what is within its range stay exactly.
    """
    positions = np.asarray(joints, np.float64).copy()
    for leg in LEGS:
        _bend_back(positions, leg, np.full(positions.shape[:-2], FURTHEST))
        depth, front = _behind(positions, leg)
        positions[..., leg[1], :] -= 2 * np.minimum(depth, 0.0)[..., None] * front
    for arm in ARMS:
        _bend_back(positions, arm, BACKWARD + (FURTHEST - BACKWARD) * _elbow_fit(positions, arm))
    return positions.astype(np.float32)


def _behind(positions: Floats, leg: tuple[int, ...]) -> tuple[Floats, Floats]:
    """How far the knee is before (above 0) the line from hip to ankle, metres, and that direction.

    Of the two directions that may be its front, the one in which it is further.
    """
    hip, knee, ankle, toe = (positions[..., joint, :] for joint in leg)
    line = _unit(ankle - hip)
    across = _unit(positions[..., LEFT_HIP, :] - positions[..., RIGHT_HIP, :])
    up = _upright(positions[..., 3, :] - positions[..., 0, :], across)
    axes = (_carried(-up, line, across), _unit(np.cross(toe - ankle, line)))
    fronts = [np.cross(line, axis) for axis in axes]
    depths = [_dot(knee - hip, front) for front in fronts]
    first = depths[0] > depths[1]
    return np.maximum(*depths), np.where(first[..., None], *fronts)


def _elbow_fit(positions: Floats, arm: tuple[int, ...]) -> Floats:
    """0 where an elbow bends backward, 1 where it surely does not, smooth in between."""
    across = _unit(positions[..., LEFT_SHOULDER, :] - positions[..., RIGHT_SHOULDER, :])
    up = _upright(positions[..., 12, :] - positions[..., 9, :], across)
    upper = _unit(positions[..., arm[1], :] - positions[..., arm[0], :])
    angle, axis = _angle(positions, arm)
    side = 1.0 if arm[0] == LEFT_SHOULDER else -1.0
    hanging = _dot(axis, _carried(-up, upper, -across))
    outstretched = _dot(axis, _carried(side * across, upper, -side * up))
    fit = _rising(np.maximum(hanging, outstretched), *np.cos(np.deg2rad(_TURNED)))
    fit = np.maximum(fit, _rising(_dot(upper, up), *-np.cos(np.deg2rad(_RAISED))))
    return np.where(angle > 1e-6, fit, 1.0)


def _bend_back(positions: Floats, limb: tuple[int, ...], largest: Floats) -> None:
    """Bend what is beyond `largest` degrees `[..., frames]` back to it, in place."""
    angle, axis = _angle(positions, limb)
    excess = np.minimum(np.deg2rad(largest) - angle, 0.0)
    pivot = positions[..., limb[1], :].copy()
    for joint in limb[2:]:
        turned = pivot + _about(axis, excess, positions[..., joint, :] - pivot)
        positions[..., joint, :] = np.where(excess[..., None] < 0, turned, positions[..., joint, :])


def _angle(positions: Floats, limb: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Angle between the two bones of a limb, rad, and the unit axis from the first to the second."""
    upper = _unit(positions[..., limb[1], :] - positions[..., limb[0], :])
    lower = _unit(positions[..., limb[2], :] - positions[..., limb[1], :])
    normal = np.cross(upper, lower)
    return np.arctan2(np.linalg.norm(normal, axis=-1), _dot(upper, lower)), _unit(normal)


def _rising(value: Floats, none: float, full: float) -> Floats:
    """0 up to `none`, 1 from `full` on, a smoothstep in between."""
    s = np.clip((value - none) / (full - none), 0.0, 1.0)
    return np.asarray(s * s * (3 - 2 * s), np.float64)


def _upright(up: Floats, across: Floats) -> Floats:
    return _unit(up - _dot(up, across)[..., None] * across)


def _carried(start: Floats, end: Floats, axis: Floats) -> Floats:
    """`axis` turned by the shortest arc from `start` to `end`, all `[..., 3]` and of unit length."""
    arcs = shortest_arcs(start.reshape(-1, 3), end.reshape(-1, 3))
    return np.asarray((arcs @ axis.reshape(-1, 3, 1)).reshape(axis.shape), np.float64)


def _about(axis: Floats, angle: Floats, vector: Floats) -> Floats:
    """Rodrigues' formula: `vector` `[..., 3]` turned by `angle` `[...]` about the unit `axis`."""
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    along = _dot(axis, vector)[..., None] * axis
    return np.asarray(cos * (vector - along) + sin * np.cross(axis, vector) + along, np.float64)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray((a * b).sum(axis=-1), np.float64)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float64)
