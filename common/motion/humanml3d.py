"""The 263-d vector of HumanML3D (Guo et al., CVPR 2022) from joint positions and back, one row a frame.

| slice | content |
|---|---|
| 0 | half the yaw step of the heading quaternion to the next frame, rad |
| 1:3 | root velocity x, z per frame, in the heading frame of the next frame, m |
| 3 | root height, m |
| 4:67 | positions of joints 1..21: root x, z removed, turned into the heading frame, m |
| 67:193 | rotations of joints 1..21: first two columns of each matrix |
| 193:259 | steps of joints 0..21 to the next frame, in the heading frame, m |
| 259:263 | whether left ankle, left toe, right ankle, right toe stand until the next frame |
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from common.motion.kinematics import bone_lengths, shortest_arcs
from common.motion.skeleton import (
    FEET,
    JOINTS,
    LEFT_HIP,
    LEFT_SHOULDER,
    PARENTS,
    REST_DIRECTIONS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)

Floats = NDArray[np.float64]

WIDTH: Final = 263
LOCAL: Final = slice(4, 67)
ROTATIONS: Final = slice(67, 193)
STEPS: Final = slice(193, 259)
CONTACTS: Final = slice(259, WIDTH)

_CHAIN_STARTS: Final = frozenset({1, 2, 3, 13, 14})
"""First bones of the chains, which start from the heading: the arms' too, not from spine3."""
_SMOOTHING: Final = 20.0  # standard deviation of the heading filter, frames
_STANDING: Final = 0.002  # squared step of a standing foot, m^2: 0.9 m/s at 20 fps


def to_humanml3d(
    joints: ArrayLike, *, hml_compat: bool = False, lengths: ArrayLike | None = None
) -> NDArray[np.float32]:
    """`[..., T, 22, 3]` metres (Y up, 20 fps) to `[..., T - 1, 263]`; each motion from itself alone.

    The motion is first moved as `stand` says; `lengths` `[22]` metres gives it those bones
    before (HumanML3D's uniform skeleton, which takes a person's size out).

    `hml_compat` follows the public code of HumanML3D to the number, quirks included: in
    the heading of single frames left and right hip are swapped (the shoulders, being
    wider, win), forward directions count by their horizontal share in the smoothing, and
    the first frame's heading is overwritten with +Z, which puts what the smoothing changed
    in it into the first yaw step. Vectors that meet others' means or models need it.
    """
    placed, yaw = _placed(joints, hml_compat, lengths)
    step = _wrap(yaw[..., 1:] - yaw[..., :-1])
    moves = placed[..., 1:, :, :] - placed[..., :-1, :, :]
    velocity = _turn(moves[..., 0, :], -yaw[..., 1:])
    local = placed[..., 1:, :] - placed[..., :1, :] * [1.0, 0.0, 1.0]
    local = _turn(local, -yaw[..., None])[..., :-1, :, :]
    columns = _rotations(placed, yaw)[..., :-1, 1:, :, :2]
    sixes = np.swapaxes(columns, -1, -2)
    parts = [
        -step[..., None] / 2,
        velocity[..., [0, 2]],
        placed[..., :-1, 0, 1:2],
        local.reshape(*local.shape[:-2], -1),
        sixes.reshape(*sixes.shape[:-3], -1),
        _turn(moves, -yaw[..., :-1, None]).reshape(*moves.shape[:-2], -1),
        (moves[..., FEET, :] ** 2).sum(axis=-1) < _STANDING,
    ]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def stand(
    joints: ArrayLike, *, hml_compat: bool = False, lengths: ArrayLike | None = None
) -> NDArray[np.float32]:
    """The motion `[..., T, 22, 3]` that `to_humanml3d` describes and `from_humanml3d` gives back.

    The lowest joint of all frames is at y = 0, the root of frame 0 at x = z = 0, and the
    smoothed heading of frame 0 is +Z; with `hml_compat` the heading without smoothing.
    """
    return _placed(joints, hml_compat, lengths)[0].astype(np.float32)


def from_humanml3d(vectors: ArrayLike) -> NDArray[np.float32]:
    """`[..., T, 263]` to joints `[..., T, 22, 3]` metres, from the root and the local positions (0:67)."""
    wide, yaw, root = _root(vectors)
    local = wide[..., LOCAL].reshape(*wide.shape[:-1], JOINTS - 1, 3)
    local = _turn(local, yaw[..., None]) + root[..., None, :] * [1.0, 0.0, 1.0]
    return np.concatenate([root[..., None, :], local], axis=-2).astype(np.float32)


def from_rotations(vectors: ArrayLike, lengths: ArrayLike | None = None) -> NDArray[np.float32]:
    """`[..., T, 263]` to joints `[..., T, 22, 3]`, from the root and the rotations (0:4, 67:193).

    `lengths` `[22]` are the bones to hang on them, metres: by default the median lengths of
    the local positions. Equals `from_humanml3d` where the bones do not change over time.
    """
    wide, yaw, root = _root(vectors)
    fixed = bone_lengths(from_humanml3d(wide)) if lengths is None else np.asarray(lengths, np.float64)
    bones = fixed[..., None, :, None] * REST_DIRECTIONS
    sixes = wide[..., ROTATIONS].reshape(*wide.shape[:-1], JOINTS - 1, 6)
    matrices = _orthonormal(sixes)
    heading = _yaw_matrices(-yaw)
    world = np.empty((*wide.shape[:-1], JOINTS, 3, 3))
    joints = np.empty((*wide.shape[:-1], JOINTS, 3))
    joints[..., 0, :] = root
    for joint in range(1, JOINTS):
        parent = PARENTS[joint]
        start = heading if joint in _CHAIN_STARTS else world[..., parent, :, :]
        world[..., joint, :, :] = start @ matrices[..., joint - 1, :, :]
        bone = world[..., joint, :, :] @ bones[..., joint, :, None]
        joints[..., joint, :] = joints[..., parent, :] + bone[..., 0]
    return joints.astype(np.float32)


def _placed(joints: ArrayLike, hml_compat: bool, lengths: ArrayLike | None) -> tuple[Floats, Floats]:
    """The motion as it stands, and its yaw `[..., T]`: 0 in frame 0."""
    placed = np.asarray(joints, np.float64)
    if placed.ndim < 3 or placed.shape[-2:] != (JOINTS, 3) or placed.shape[-3] < 2:
        raise ValueError(f"expected joints [frames > 1, {JOINTS}, 3], got {placed.shape}")
    if lengths is not None:
        placed = _uniform(placed, np.asarray(lengths, np.float64))
    floor = placed[..., 1].min(axis=(-2, -1), keepdims=True)
    placed = placed - floor[..., None] * [0.0, 1.0, 0.0]
    placed -= placed[..., :1, :1, :] * [1.0, 0.0, 1.0]
    forward = _forward(placed, 1.0)
    if hml_compat:
        turned = np.arctan2(forward[..., :1, 0], forward[..., :1, 2])
        placed = _turn(placed, -turned[..., None])
        yaw = _smooth_yaw(_forward(placed, -1.0))
        yaw[..., 0] = 0.0
        return placed, yaw
    level = np.linalg.norm(forward, axis=-1, keepdims=True)
    yaw = _smooth_yaw(forward / np.maximum(level, 1e-8))
    return _turn(placed, -yaw[..., :1, None]), _wrap(yaw - yaw[..., :1])


def _uniform(joints: Floats, lengths: Floats) -> Floats:
    """The same bone directions on bones of `lengths`, the root's path scaled by thigh and shank."""
    own = bone_lengths(joints)
    scale = lengths[[5, 8]].sum() / np.maximum(own[..., [5, 8]].sum(axis=-1), 1e-9)
    result = np.empty_like(joints)
    result[..., 0, :] = joints[..., 0, :] * scale[..., None, None]
    for joint in range(1, JOINTS):
        bone = joints[..., joint, :] - joints[..., PARENTS[joint], :]
        bone /= np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
        result[..., joint, :] = result[..., PARENTS[joint], :] + lengths[joint] * bone
    return result


def _forward(joints: Floats, hips: float) -> Floats:
    """up x unit(hips (right hip - left hip) + right shoulder - left shoulder), `[..., T, 3]`."""
    across = hips * (joints[..., RIGHT_HIP, :] - joints[..., LEFT_HIP, :])
    across = across + joints[..., RIGHT_SHOULDER, :] - joints[..., LEFT_SHOULDER, :]
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-8)
    return np.stack([across[..., 2], np.zeros(across.shape[:-1]), -across[..., 0]], axis=-1)


def _smooth_yaw(forward: Floats) -> Floats:
    """Yaw `[..., T]`, rad from +Z towards +X, of the directions smoothed over time, ends repeated."""
    smooth = gaussian_filter1d(forward, _SMOOTHING, axis=-2, mode="nearest")
    return np.arctan2(smooth[..., 0], smooth[..., 2])


def _rotations(placed: Floats, yaw: Floats) -> Floats:
    """Along each chain from the heading G: L = G^-1 W at the child, W rest to bone direction, then G L."""
    bones = placed[..., 1:, :] - placed[..., PARENTS[1:], :]
    norms = np.linalg.norm(bones, axis=-1, keepdims=True)
    rest = np.broadcast_to(REST_DIRECTIONS[1:], bones.shape)
    bones = np.where(norms > 1e-9, bones / np.maximum(norms, 1e-9), rest)
    arcs = shortest_arcs(rest.reshape(-1, 3), bones.reshape(-1, 3)).reshape(*bones.shape, 3)
    heading = _yaw_matrices(-yaw)
    local = np.empty((*placed.shape[:-1], 3, 3))
    local[..., 0, :, :] = heading
    for joint in range(1, JOINTS):
        start = heading if joint in _CHAIN_STARTS else arcs[..., PARENTS[joint] - 1, :, :]
        local[..., joint, :, :] = np.swapaxes(start, -1, -2) @ arcs[..., joint - 1, :, :]
    return local


def _root(vectors: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """The vectors in double precision, the yaw `[..., T]` of the body and its root `[..., T, 3]`."""
    wide = np.asarray(vectors, np.float64)
    if wide.ndim < 2 or wide.shape[-1] != WIDTH:
        raise ValueError(f"expected vectors [frames, {WIDTH}], got {wide.shape}")
    yaw = np.zeros(wide.shape[:-1])
    yaw[..., 1:] = np.cumsum(-2 * wide[..., :-1, 0], axis=-1)
    steps = np.zeros((*wide.shape[:-1], 3))
    steps[..., 1:, 0], steps[..., 1:, 2] = wide[..., :-1, 1], wide[..., :-1, 2]
    root = np.cumsum(_turn(steps, yaw), axis=-2)
    root[..., 1] = wide[..., 3]
    return wide, yaw, root


def _orthonormal(sixes: Floats) -> Floats:
    """Matrices of two columns (Gram-Schmidt): x = unit(a), z = unit(x x b), y = z x x."""
    x = sixes[..., :3] / np.maximum(np.linalg.norm(sixes[..., :3], axis=-1, keepdims=True), 1e-9)
    z = np.cross(x, sixes[..., 3:])
    z /= np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-9)
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _yaw_matrices(yaw: Floats) -> Floats:
    axes = np.eye(3)
    return np.stack([_turn(np.broadcast_to(axis, (*yaw.shape, 3)), yaw) for axis in axes], axis=-1)


def _turn(vectors: Floats, yaw: Floats) -> Floats:
    """Turn `[..., 3]` by `yaw` rad about the vertical; +Z goes to (sin yaw, 0, cos yaw)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack([cos * x + sin * z, np.broadcast_to(y, (cos * x).shape), cos * z - sin * x], axis=-1)


def _wrap(angle: Floats) -> Floats:
    return np.asarray(np.arctan2(np.sin(angle), np.cos(angle)), np.float64)
