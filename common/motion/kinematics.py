"""Bones: constant lengths, joint rotations from positions, positions from joint rotations."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.motion.skeleton import (
    JOINTS,
    LEFT_HIP,
    LEFT_SHOULDER,
    PARENTS,
    REST_DIRECTIONS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)

Floats = NDArray[np.float64]

CHILDREN: Final = tuple(tuple(c for c in range(JOINTS) if PARENTS[c] == j) for j in range(JOINTS))
BLOCKS: Final = tuple(j for j in range(JOINTS) if len(CHILDREN[j]) > 1)
"""Joints with several children, which move as one rigid block: pelvis and spine3."""

_MIRROR: Final = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20)
_ARMS: Final = {16: 1.0, 18: 1.0, 20: 1.0, 17: -1.0, 19: -1.0, 21: -1.0}
_BLOCK_UP: Final = {0: (0, 3), 9: (9, 12)}  # from, to: the upright direction of each block
_HALF_TURN: Final = -0.7  # cosine beyond which the axis of the shortest arc becomes unsteady


def _pose_directions() -> Floats:
    """Bone directions of the rest pose: arms out, head up, toes down by 30 degrees.

    Arms out (a T-pose) keep the half turn, where a twist-free rotation is undefined,
    at directions that no arm reaches; hanging arms would put it straight overhead.
    """
    directions = REST_DIRECTIONS.copy()
    for joint, side in _ARMS.items():
        directions[joint] = (side, 0.0, 0.0)
    directions[15] = (0.0, 1.0, 0.0)
    directions[[10, 11]] = (0.0, -0.5, 0.75**0.5)
    return directions


POSE_DIRECTIONS: Final[Floats] = _pose_directions()
"""Unit bone directions of the rest pose of `joint_rotations`, `[22, 3]` (T-pose, facing +Z)."""


def bone_lengths(joints: ArrayLike, *, symmetric: bool = False) -> Floats:
    """Median length of each bone over the frames of a motion `[..., frames, 22, 3]`: `[..., 22]`, root zero.

    With `symmetric`, left and right share their mean.
    """
    positions = np.asarray(joints, np.float64)
    lengths = np.zeros((*positions.shape[:-3], JOINTS))
    bones = positions[..., 1:, :] - positions[..., PARENTS[1:], :]
    lengths[..., 1:] = np.median(np.linalg.norm(bones, axis=-1), axis=-2)
    return (lengths + lengths[..., _MIRROR]) / 2 if symmetric else lengths


def project_bones(
    joints: ArrayLike, lengths: ArrayLike | None = None, *, symmetric: bool = False, rigid: bool = True
) -> NDArray[np.float32]:
    """`joints` `[..., frames, 22, 3]` with constant bone lengths; the pelvis and bone directions stay.

    `lengths` `[22]` in metres defaults to `bone_lengths` of each motion. With `rigid`
    the hips with the lowest vertebra, and the neck with the collars, move as rigid
    blocks as well, and the bones below them aim at where they were: what a hierarchy
    of joint rotations, and so a BVH file, can hold. Many motions at once give the same
    as each by itself.
    """
    positions = np.asarray(joints, np.float64)
    fixed = _lengths(positions, lengths, symmetric)
    if rigid:
        return forward(*joint_rotations(positions, fixed)).astype(np.float32)
    return _follow(positions, _directions(positions), fixed).astype(np.float32)


def joint_rotations(joints: ArrayLike, lengths: ArrayLike | None = None) -> tuple[Floats, Floats, Floats]:
    """Joint rotations of motions `[..., frames, 22, 3]`: offsets `[..., 22, 3]`, rotations, root positions.

    `offsets` are the joints in their parent's frame at rest (T-pose, metres).
    `rotations` `[..., frames, 22, 3, 3]` are relative to the parent (the root's to the
    world): for pelvis and spine3 the least-squares rotation of the rigid block of
    children (Kabsch 1976); for a single child the twist-free shortest arc from its
    rest direction to where that child should be; the identity for leaves. Where a bone
    comes near the half turn in which that arc loses its axis, the rotation is carried
    from frame to frame instead, so that it never flips. The root is `[..., frames, 3]`.
    """
    positions = np.asarray(joints, np.float64)
    if positions.ndim < 3 or positions.shape[-2:] != (JOINTS, 3) or positions.shape[-3] == 0:
        raise ValueError(f"expected joints [frames, {JOINTS}, 3], got {positions.shape}")
    fixed = _lengths(positions, lengths, False)
    directions = _directions(positions)
    targets = _follow(positions, directions, fixed)
    offsets = fixed[..., None] * POSE_DIRECTIONS
    placed = targets.copy()
    local = np.tile(np.eye(3), (*positions.shape[:-1], 1, 1))
    world = local.copy()
    for joint in range(JOINTS):
        parent = world[..., PARENTS[joint], :, :] if joint else world[..., 0, :, :].copy()
        children = list(CHILDREN[joint])
        if joint in BLOCKS:
            shape, turns = _block(joint, directions[..., children, :], fixed[..., children])
            offsets[..., children, :], world[..., joint, :, :] = shape, turns
            local[..., joint, :, :] = np.swapaxes(parent, -1, -2) @ turns
        elif children:
            aim = _unit(targets[..., children[0], :] - placed[..., joint, :], POSE_DIRECTIONS[children[0]])
            aim = np.einsum("...ji,...j->...i", parent, aim)
            local[..., joint, :, :] = _arcs(POSE_DIRECTIONS[children[0]], aim)
            world[..., joint, :, :] = parent @ local[..., joint, :, :]
        for child in children:
            placed[..., child, :] = placed[..., joint, :] + _turned(world, joint, offsets[..., child, :])
    return offsets, local, positions[..., 0, :].copy()


def forward(offsets: ArrayLike, rotations: ArrayLike, root: ArrayLike) -> Floats:
    """Positions `[..., frames, 22, 3]` from what `joint_rotations` returns."""
    rest = np.asarray(offsets, np.float64)
    local = np.asarray(rotations, np.float64)
    world = np.empty_like(local)
    positions = np.empty((*local.shape[:-2], 3))
    world[..., 0, :, :], positions[..., 0, :] = local[..., 0, :, :], root
    for joint in range(1, JOINTS):
        parent = PARENTS[joint]
        world[..., joint, :, :] = world[..., parent, :, :] @ local[..., joint, :, :]
        positions[..., joint, :] = positions[..., parent, :] + _turned(world, parent, rest[..., joint, :])
    return positions


def shortest_arcs(starts: Floats, ends: Floats) -> Floats:
    """Rodrigues' formula for the shortest rotation between unit vectors `[n, 3]`: `[n, 3, 3]`."""
    axis = np.cross(starts, ends)
    cosine = np.einsum("ni,ni->n", starts, ends)[:, None, None]
    opposite = cosine[:, 0, 0] < -1 + 1e-9
    skew = np.zeros((len(ends), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    skew -= np.swapaxes(skew, 1, 2)
    arcs = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-9)
    if opposite.any():
        arcs[opposite] = _half_turns(starts[opposite])
    return np.asarray(arcs, np.float64)


def _turned(world: Floats, joint: int, offset: Floats) -> Floats:
    """`offset` `[..., 3]` turned by the joint's world rotation in every frame: `[..., frames, 3]`."""
    return np.asarray((world[..., joint, :, :] @ offset[..., None, :, None])[..., 0], np.float64)


def place(joints: ArrayLike) -> Floats:
    """Stand a Y-up motion `[frames, 22, 3]` on the floor, at the origin, facing +Z in frame 0.

    The lowest joint of all frames is at y = 0 and the pelvis of frame 0 at x = z = 0;
    forward is up x (right hip - left hip + right shoulder - left shoulder). A body
    that lies on its side in frame 0 shows no heading: the first frame that does counts.
    """
    positions = np.asarray(joints, np.float64)
    across = positions[:, RIGHT_HIP] - positions[:, LEFT_HIP]
    across = across + positions[:, RIGHT_SHOULDER] - positions[:, LEFT_SHOULDER]
    level = np.hypot(across[:, 0], across[:, 2]) > 0.3 * np.linalg.norm(across, axis=1)
    x, _, z = across[int(np.argmax(level))]
    yaw = np.arctan2(z, -x)  # forward = (across z, 0, -across x)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = positions @ np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]]).T
    return np.asarray(turned - [turned[0, 0, 0], turned[..., 1].min(), turned[0, 0, 2]], np.float64)


def _lengths(positions: Floats, lengths: ArrayLike | None, symmetric: bool) -> Floats:
    if lengths is None:
        return bone_lengths(positions, symmetric=symmetric)
    fixed = np.asarray(lengths, np.float64)
    if fixed.shape[-1:] != (JOINTS,) or not np.isfinite(fixed).all() or (fixed < 0).any():
        raise ValueError(f"expected {JOINTS} finite bone lengths of at least 0, got shape {fixed.shape}")
    return fixed


def _follow(positions: Floats, directions: Floats, lengths: Floats) -> Floats:
    """The pelvis of `positions` and, from it outwards, bones of `lengths` along `directions`."""
    result = positions.copy()
    for joint in range(1, JOINTS):
        bone = lengths[..., None, joint, None] * directions[..., joint, :]
        result[..., joint, :] = result[..., PARENTS[joint], :] + bone
    return result


def _directions(positions: Floats) -> Floats:
    """Unit bone directions `[..., frames, 22, 3]`; a bone without length keeps its rest direction."""
    bones = np.zeros_like(positions)
    bones[..., 1:, :] = positions[..., 1:, :] - positions[..., PARENTS[1:], :]
    norms = np.linalg.norm(bones, axis=-1, keepdims=True)
    return np.where(norms > 1e-9, bones / np.maximum(norms, 1e-9), POSE_DIRECTIONS)


def _block(joint: int, directions: Floats, lengths: Floats) -> tuple[Floats, Floats]:
    """Mean rest shape `[..., k, 3]` and world rotations `[..., frames, 3, 3]` of the k children of `joint`.

    `directions` is `[..., frames, k, 3]`. Children are ordered left, right, middle or
    middle, left, right, as in the skeleton: the frame of a block is read from the
    joint ids, then refined by least squares.
    """
    names = CHILDREN[joint]
    middle = names.index(_BLOCK_UP[joint][1])
    left, right = (i for i in range(3) if i != middle)
    x = _unit(directions[..., left, :] - directions[..., right, :], np.array([1.0, 0.0, 0.0]))
    up = directions[..., middle, :]
    z = _unit(np.cross(x, up), np.array([0.0, 0.0, 1.0]))
    frames = np.stack([x, np.cross(z, x), z], axis=-1)
    shape = np.einsum("...fji,...fkj->...ki", frames, directions)
    shape = _unit(shape, POSE_DIRECTIONS[list(names)]) * lengths[..., None]
    return shape, _kabsch(shape, directions * lengths[..., None, :, None])


def _kabsch(source: Floats, targets: Floats) -> Floats:
    """Rotations `[..., frames, 3, 3]` that take `source` `[..., k, 3]` closest to each frame's `targets`."""
    u, _, vt = np.linalg.svd(np.einsum("...fki,...kj->...fij", targets, source))
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    return np.asarray(u @ vt, np.float64)


def _arcs(start: Floats, ends: Floats) -> Floats:
    """Twist-free rotations `[..., frames, 3, 3]` from the unit `start` to `ends` `[..., frames, 3]`."""
    motions = ends.reshape(-1, *ends.shape[-2:])
    flat = motions.reshape(-1, 3)
    result = shortest_arcs(np.broadcast_to(start, flat.shape), flat).reshape(*motions.shape, 3)
    for motion in np.flatnonzero((motions @ start).min(axis=-1) <= _HALF_TURN):
        _carry(result[motion], motions[motion], int(np.argmax(motions[motion] @ start)))
    return result.reshape(*ends.shape, 3)


def _carry(rotations: Floats, ends: Floats, first: int) -> None:
    """Replace `rotations` `[frames, 3, 3]` by that of frame `first`, carried along `ends` both ways."""
    steps = shortest_arcs(ends[:-1], ends[1:])
    for frame in range(first + 1, len(ends)):
        rotations[frame] = steps[frame - 1] @ rotations[frame - 1]
    for frame in range(first - 1, -1, -1):
        rotations[frame] = steps[frame].T @ rotations[frame + 1]


def _half_turns(vectors: Floats) -> Floats:
    """A half turn about some axis across each unit vector `[n, 3]`: `[n, 3, 3]`."""
    helper = np.where(np.abs(vectors[:, :1]) < 0.6, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    axis = _unit(np.cross(vectors, helper), np.array([0.0, 1.0, 0.0]))
    return np.asarray(2 * axis[:, :, None] * axis[:, None, :] - np.eye(3), np.float64)


def _unit(vectors: Floats, fallback: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(norms > 1e-9, vectors / np.maximum(norms, 1e-9), fallback)
