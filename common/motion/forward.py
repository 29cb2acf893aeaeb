"""Forward and inverse kinematics of the 22-joint skeleton, vectorised over motions and frames.

Angles are anatomical (radians): flexion moves a limb forward, the knee bends backward, adduction
moves towards the midline, rotation is positive inward. Sides are ordered left, right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from common.motion.anthropometry import Body, Floats
from common.motion.skeleton import JOINTS

CORE: Final = (
    "pelvis_rotation", "pelvis_list", "pelvis_tilt", "lumbar_extension", "lumbar_bending",
    "lumbar_rotation", "neck_flexion", "neck_rotation",
)  # fmt: skip
"""Angles of the axis of the body, the last axis of `core`."""
SIDE: Final = (
    "hip_flexion", "hip_adduction", "hip_rotation", "knee", "ankle",
    "shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow",
)  # fmt: skip
"""Angles of each side, the last axis of `sides`."""
HIP, ADDUCTION, HIP_ROTATION, KNEE, ANKLE, SHOULDER, ABDUCTION, ARM_ROTATION, ELBOW = range(9)
PELVIS_ROTATION, LIST, TILT, EXTENSION, BENDING, TWIST, NECK, NECK_ROTATION = range(8)
OUTWARD: Final[Floats] = np.array([1.0, -1.0])
"""Sign of X away from the midline, left and right."""

_COLLAR_SHARE = 0.22
_COLLAR_FROM = np.deg2rad(50.0)


@dataclass(frozen=True, eq=False)
class Pose:
    """B motions of T frames before the last step of inverse kinematics.

    `root` `[B, T, 3]` and `ankle` `[B, T, 2, 3]` in world metres, `core` `[B, T, 8]`,
    `sides` `[B, T, 2, 9]` radians, `foot` `[B, T, 2, 3, 3]` orientation of the feet,
    `hinge` `[B, T, 2, 3]` the axis about which the knees bend. Leg angles are not read. `base`
    `[B, T, 3, 3]` turns the pelvis before its own angles. `wrist` `[B, T, 2, 3]` is where the
    hands are wanted, as far as `grip` `[B, T, 2]` from 0 to 1 says. `facts` `[B]` say what the
    motion truly is: speeds, sizes, sides.
    """

    root: Floats
    core: Floats
    sides: Floats
    ankle: Floats
    foot: Floats
    hinge: Floats
    base: Floats | None = None
    wrist: Floats | None = None
    grip: Floats | None = None
    facts: Mapping[str, Floats] = field(default_factory=dict)


def euler_xzy(x: Floats, z: Floats, y: Floats) -> Floats:
    """R_x(x) R_z(z) R_y(y), `[..., 3, 3]`."""
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    out = np.empty((*np.shape(x), 3, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cz * cy, -sz, cz * sy
    row1 = (sz * cy, cz, sz * sy)
    row2 = (-sy, np.zeros_like(sy), cy)
    for column in range(3):
        out[..., 1, column] = cx * row1[column] - sx * row2[column]
        out[..., 2, column] = sx * row1[column] + cx * row2[column]
    return out


def apply(rotation: Floats, vector: Floats) -> Floats:
    """Rotate vectors `[..., 3]` by `[..., 3, 3]` (both broadcast)."""
    return np.asarray((rotation @ vector[..., None])[..., 0])


def pelvis_frame(core: Floats) -> Floats:
    """R_y(rotation) R_z(list) R_x(-tilt), `[B, T, 3, 3]`."""
    inverse = euler_xzy(core[..., TILT], -core[..., LIST], -core[..., PELVIS_ROTATION])
    return np.swapaxes(inverse, -1, -2)


def turn_x(angle: Floats) -> Floats:
    """R_x(angle), `[..., 3, 3]`."""
    zero = np.zeros_like(angle)
    return euler_xzy(angle, zero, zero)


def foot_frame(pitch: Floats, toe_out: Floats) -> Floats:
    """Foot orientation from pitch (toes up) and toe-out angle, both `[B, T, 2]`."""
    zero = np.zeros_like(pitch)
    yaw = euler_xzy(zero, zero, np.broadcast_to(toe_out * OUTWARD, pitch.shape))
    return yaw @ turn_x(-pitch)


def leg_chain(body: Body, core: Floats, sides: Floats, toe_out: Floats) -> tuple[Floats, Floats, Floats]:
    """Legs from angles with the root at the origin.

    `toe_out` is `[B]`. Returns ankle `[B, T, 2, 3]`, foot orientation `[B, T, 2, 3, 3]` and knee
    axis `[B, T, 2, 3]`.
    """
    pelvis = pelvis_frame(core)[:, :, None]
    inward = -OUTWARD
    thigh = pelvis @ euler_xzy(
        -sides[..., HIP], inward * sides[..., ADDUCTION], inward * sides[..., HIP_ROTATION]
    )
    shank = thigh @ turn_x(sides[..., KNEE])
    zero = np.zeros_like(sides[..., ANKLE])
    splay = np.broadcast_to(toe_out[:, None, None] * OUTWARD, zero.shape)
    foot = shank @ euler_xzy(-sides[..., ANKLE], zero, splay)
    hip = apply(pelvis, body.offsets[:, None, 1:3])
    ankle = (
        hip
        - thigh[..., :, 1] * body.thigh[:, None, None, None]
        - shank[..., :, 1] * body.shank[:, None, None, None]
    )
    return ankle, foot, thigh[..., :, 0]


def sole_points(body: Body, ankle: Floats, foot: Floats) -> tuple[Floats, Floats]:
    """Heel and ball contact points `[B, T, 2, 3]` of feet at `ankle` with orientation `foot`."""
    heel = ankle + apply(foot, body.heel[:, None, None])
    ball = ankle + apply(foot, body.toe[:, None, None])
    ball[..., 1] -= body.ball[:, None, None]
    return heel, ball


def _soft_limit(length: Floats, limit: Floats) -> Floats:
    """Smooth minimum of a hip-to-ankle distance and the reach of the leg: no snap at full reach."""
    width = 0.004 * limit
    top = limit * 0.9995
    return np.asarray(top - width * np.logaddexp(0.0, (top - length) / width))


def two_bone(
    start: Floats, end: Floats, lengths: tuple[Floats, Floats], pole: Floats
) -> tuple[Floats, Floats]:
    """Middle joint and reachable end, `[B, T, 2, 3]`, of two bones towards a wanted end.

    `lengths` broadcast to `[B, T, 2]`; the middle joint moves towards `pole` `[B, T, 2, 3]`.
    """
    upper, lower = lengths
    reach = end - start
    wanted = np.maximum(np.linalg.norm(reach, axis=-1), 1e-6)
    along = reach / wanted[..., None]
    length = _soft_limit(np.maximum(wanted, 0.3 * upper), upper + lower)
    share = (upper**2 - lower**2 + length**2) / (2 * length)
    out = np.sqrt(np.maximum(upper**2 - share**2, 0.0))
    side = pole - (pole * along).sum(axis=-1, keepdims=True) * along
    side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    middle = start + share[..., None] * along + out[..., None] * side
    return middle, start + length[..., None] * along


def joints(body: Body, pose: Pose) -> Floats:
    """Joint positions `[B, T, 22, 3]`: forward kinematics above the hips, two-bone legs below."""
    core, sides = pose.core, pose.sides
    place = np.empty((*pose.root.shape[:2], JOINTS, 3))
    offset = body.offsets[:, None]
    pelvis = pelvis_frame(core) if pose.base is None else pose.base @ pelvis_frame(core)
    place[:, :, 0] = pose.root
    third = euler_xzy(-core[..., EXTENSION] / 3, core[..., BENDING] / 3, core[..., TWIST] / 3)
    frame, joint = pelvis, 0
    for child in (3, 6, 9):
        place[:, :, child] = place[:, :, joint] + apply(frame, offset[:, :, child])
        frame, joint = frame @ third, child
    place[:, :, 12] = place[:, :, 9] + apply(frame, offset[:, :, 12])
    zero = np.zeros_like(core[..., NECK])
    neck = frame @ euler_xzy(core[..., NECK], zero, core[..., NECK_ROTATION])
    place[:, :, 15] = place[:, :, 12] + apply(neck, offset[:, :, 15])
    _place_arms(place, offset, frame, sides)
    if pose.wrist is not None and pose.grip is not None:
        _place_hands(place, offset, frame, pose.wrist, pose.grip)
    _place_legs(place, body, pelvis, pose)
    return place


def _place_arms(place: Floats, offset: Floats, chest: Floats, sides: Floats) -> None:
    outward = np.broadcast_to(OUTWARD, sides.shape[:3])
    flexion, abduction = sides[..., SHOULDER], sides[..., ABDUCTION]
    raised = np.arccos(np.clip(np.cos(flexion) * np.cos(abduction), -1, 1))
    # The shoulder girdle rises with the arm (scapulohumeral rhythm), softly from about 50 degrees.
    lift = _COLLAR_SHARE * np.logaddexp(0.0, (raised - _COLLAR_FROM) / 0.2) * 0.2
    zero = np.zeros_like(lift)
    collar = chest[:, :, None] @ euler_xzy(zero, outward * lift, zero)
    upper = chest[:, :, None] @ euler_xzy(-flexion, outward * abduction, -outward * sides[..., ARM_ROTATION])
    lower = upper @ turn_x(-sides[..., ELBOW])
    place[:, :, 13:15] = place[:, :, 9:10] + apply(chest[:, :, None], offset[:, :, 13:15])
    place[:, :, 16:18] = place[:, :, 13:15] + apply(collar, offset[:, :, 16:18])
    place[:, :, 18:20] = place[:, :, 16:18] + apply(upper, offset[:, :, 18:20])
    place[:, :, 20:22] = place[:, :, 18:20] + apply(lower, offset[:, :, 20:22])


def _place_hands(place: Floats, offset: Floats, chest: Floats, wrist: Floats, grip: Floats) -> None:
    """Move the hands from where the angles put them towards `wrist`; elbows point down, out and back."""
    shoulder, elbow, hand = place[:, :, 16:18], place[:, :, 18:20], place[:, :, 20:22]
    hold = grip[..., None]
    goal = hand + hold * (wrist - hand)
    rest = np.stack([0.35 * OUTWARD, np.full(2, -1.0), np.full(2, -0.55)], axis=-1)
    pole = apply(chest[:, :, None], rest)
    bent = elbow - shoulder
    axis = (goal - shoulder) / np.maximum(np.linalg.norm(goal - shoulder, axis=-1, keepdims=True), 1e-6)
    bent = bent - (bent * axis).sum(axis=-1, keepdims=True) * axis
    bent /= np.maximum(np.linalg.norm(bent, axis=-1, keepdims=True), 1e-6)
    lengths = (-offset[:, :, 18:20, 1], -offset[:, :, 20:22, 1])
    place[:, :, 18:20], place[:, :, 20:22] = two_bone(shoulder, goal, lengths, bent + hold * (pole - bent))


def _place_legs(place: Floats, body: Body, pelvis: Floats, pose: Pose) -> None:
    hip = pose.root[:, :, None] + apply(pelvis[:, :, None], body.offsets[:, None, 1:3])
    lengths = (body.thigh[:, None, None], body.shank[:, None, None])
    knee, ankle = two_bone(hip, pose.ankle, lengths, np.cross(pose.ankle - hip, pose.hinge))
    place[:, :, 1:3], place[:, :, 4:6], place[:, :, 7:9] = hip, knee, ankle
    place[:, :, 10:12] = ankle + apply(pose.foot, body.toe[:, None, None])
