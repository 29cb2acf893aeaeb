"""BVH files in and out: the only adapter on pybvh."""

from __future__ import annotations

import gzip
import re
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pybvh
from numpy.typing import ArrayLike, NDArray
from pybvh.bvhnode import BvhEndSite, BvhJoint, BvhNode, BvhRoot
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.motion.clock import resample
from common.motion.conventions import missing_joints, to_joints
from common.motion.kinematics import CHILDREN, bone_lengths, joint_rotations, place, project_bones
from common.motion.skeleton import FRAME_RATE, JOINT_NAMES, JOINTS, PARENTS

Floats = NDArray[np.float64]

SUFFIXES: Final = (".bvh", ".bvh.gz")
UNITS: Final = {"m": 1.0, "CMU (1/0.45 inch)": 0.0254 / 0.45, "inch": 0.0254, "cm": 0.01, "mm": 0.001}
"""Metres in one length unit of a file."""

_LEG_SHARE: Final = 0.245 + 0.246  # thigh and shank of stature (Drillis and Contini 1964)
_STATURE: Final = (0.5, 1.70, 2.6)  # lowest, typical and highest stature, metres
_LOWEST_RATE: Final = 5.0
_HUGE: Final = 1e7  # ten kilometres in millimetres
_UPRIGHT: Final = 0.9  # mean cosine from which a clip counts as upright along an axis
_END_SITES: Final = {
    "head": (0.0, 0.18, 0.0),
    "left_foot": (0.0, 0.0, 0.06),
    "right_foot": (0.0, 0.0, 0.06),
    "left_wrist": (0.09, 0.0, 0.0),
    "right_wrist": (-0.09, 0.0, 0.0),
}
_HEADER_BYTES: Final = 1 << 16
_JOINT_LINES: Final = re.compile(r"OFFSET(?P<offset>[^\n]*)\n\s*CHANNELS\s+\d+(?P<channels>[^\n]*)")


class BvhMotion(NamedTuple):
    """What a BVH file holds: `joints` float32 `[frames, 22, 3]`, metres at 20 fps, and where it came from."""

    joints: NDArray[np.float32]
    names: tuple[str, ...]
    unit: str
    source_rate: float


def read_bvh(path: Path) -> BvhMotion:
    """Read `path` (.bvh or .bvh.gz) as our 22 joints on the floor, at the origin, facing +Z in frame 0.

    - Joints: by name, from the first complete table of `common.motion.conventions`.
    - Up: the signed axis along which the clip stands upright throughout (mean cosine of
      feet -> neck above 0.9), or else the one nearest to feet -> neck at rest.
    - Unit: of metres, CMU units, inches, centimetres and millimetres, the one that
      puts stature = (thigh + shank) / 0.491 nearest to 1.70 m on a log scale; outside
      0.5 .. 2.6 m none fits.
    - Rate: anti-aliased resampling to 20 fps (`common.motion.clock`), then the bones'
      own lengths again. Position channels of joints other than the root count as
      constant offsets (their median).
    - Leading frames in the rest pose (every joint below the root exactly unturned) are
      the converter's, not the person's, and left out.

    Raises InputError on a file that cannot be read, has no or non-finite frames, or
    joints that cannot be mapped.
    """
    skeleton = _parse(path)
    source_rate = 1.0 / skeleton.frame_time if skeleton.frame_time > 0 else 0.0
    if skeleton.frame_count < 2 or not source_rate >= _LOWEST_RATE:
        raise InputError(
            f"{path}: {skeleton.frame_count} frames at {source_rate:.3g} fps are no motion; "
            f"at least 2 frames at {_LOWEST_RATE:g} fps are needed"
        )
    joints, up = _mapped(path, skeleton)
    joints = joints[_leading_rest_frames(skeleton) :] @ _to_y_up(up)
    unit = _unit(path, joints)
    joints *= UNITS[unit]
    lengths = bone_lengths(joints)
    times = np.arange(len(joints)) / source_rate
    smooth = project_bones(resample(times, joints, FRAME_RATE), lengths, rigid=False)
    return BvhMotion(place(smooth).astype(np.float32), tuple(skeleton.joint_names), unit, source_rate)


def joint_names(path: Path) -> tuple[str, ...]:
    """The joints that the header of a BVH file names, in file order; no motion is parsed."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = b""
            while b"MOTION" not in header and (piece := stream.read(_HEADER_BYTES)):
                header += piece
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as a BVH file ({_first_line(error)})") from None
    names = re.findall(
        r"^\s*(?:ROOT|JOINT)[ \t]+(\S.*?)\s*$", _text(header).partition("MOTION")[0], re.MULTILINE
    )
    if not names:
        raise InputError(f"{path}: not a BVH file (no ROOT joint)")
    return tuple(names)


def write_bvh(path: Path, joints: ArrayLike, rate: float = FRAME_RATE) -> None:
    """Write positions `[frames, 22, 3]` (metres, Y up) at `rate` fps as a BVH file of 22 named joints.

    Units are metres, channels ZYX Euler angles, the rest pose a T-pose. Bone lengths
    are constant, so the positions that the file yields are `project_bones(joints)`.
    Raises InputError on non-finite positions.
    """
    positions = np.asarray(joints, np.float64)
    if not np.isfinite(positions).all():
        raise InputError(f"{path}: cannot write a motion with NaN or infinite positions")
    offsets, rotations, root = joint_rotations(positions)
    nodes, order = _hierarchy(offsets)
    angles = _continuous_zyx(rotations[:, order])
    motion = pybvh.Bvh(nodes=nodes, root_pos=root, joint_angles=angles, frame_time=1.0 / rate, world_up="+y")
    pybvh.write_bvh_file(motion, path)


def _parse(path: Path) -> pybvh.Bvh:
    """pybvh's view of a file, with finite numbers only."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = _text(data)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's "input contained no data": the check below says it
            plain = Path(folder) / "motion.bvh"
            plain.write_text(_rotations_only(text), encoding="utf-8")
            skeleton = pybvh.read_bvh_file(plain, world_up="+y")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # a corrupt file breaks pybvh in many ways, none of which names the file
        raise InputError(f"{path}: not a readable BVH file ({_first_line(error)})") from None
    good = (np.abs(skeleton.root_pos) < _HUGE).all(axis=1)  # NaN compares false
    good &= (np.abs(skeleton.joint_angles) < _HUGE).all(axis=(1, 2))
    if not good.all():
        raise InputError(f"{path}: frame {int(np.argmin(good)) + 1} holds NaN, infinity or an absurd value")
    if not all((np.abs(node.offset) < _HUGE).all() for node in skeleton.nodes):
        raise InputError(f"{path}: an OFFSET is NaN, infinite or absurd")
    return skeleton


def _mapped(path: Path, skeleton: pybvh.Bvh) -> tuple[Floats, Floats]:
    """Our joints in the file's axes and unit, and the file's up axis (a signed unit vector)."""
    names = [node.name for node in skeleton.nodes]
    missing = missing_joints(names)
    if missing:
        raise InputError(
            f"{path}: no joint for {', '.join(missing[:3])} among {', '.join(skeleton.joint_names[:6])}; "
            "name the joints as CMU, Mixamo, SMPL, Xsens or fedmotion do"
        )
    joints = to_joints(names, skeleton.node_positions())
    rest = to_joints(names, skeleton.rest_pose_positions()[None])
    neck_from_feet = joints[:, 12] - (joints[:, 7] + joints[:, 8]) / 2
    upright = neck_from_feet / np.maximum(np.linalg.norm(neck_from_feet, axis=1, keepdims=True), 1e-9)
    mean = upright.mean(axis=0)
    upright_throughout = np.abs(mean).max() > _UPRIGHT
    axis = mean if upright_throughout else rest[0, 12] - (rest[0, 7] + rest[0, 8]) / 2
    strongest = int(np.argmax(np.abs(axis)))
    return joints, np.sign(axis[strongest]) * np.eye(3)[strongest]


def _leading_rest_frames(skeleton: pybvh.Bvh) -> int:
    moving = np.abs(skeleton.joint_angles[:, 1:]).max(axis=(1, 2), initial=0.0) > 1e-6
    first = int(np.argmax(moving))
    return first if moving.any() and skeleton.frame_count - first >= 2 else 0


def _to_y_up(up: Floats) -> Floats:
    """Matrix M so that `positions @ M` has `up` along +Y: the shortest turn, no mirror."""
    if up[1] == 0:
        y = np.array([0.0, 1.0, 0.0])
        third = np.cross(up, y)
        return np.asarray(np.stack([up, y, third], axis=1) @ np.stack([y, -up, third]), np.float64)
    return np.diag(np.array([1.0, up[1], up[1]]))


def _unit(path: Path, joints: Floats) -> str:
    lengths = bone_lengths(joints)
    stature = lengths[[4, 5, 7, 8]].sum() / 2 / _LEG_SHARE
    lowest, typical, highest = _STATURE
    name = min(UNITS, key=lambda unit: abs(np.log(max(stature, 1e-12) * UNITS[unit] / typical)))
    if not lowest <= stature * UNITS[name] <= highest:
        raise InputError(
            f"{path}: legs of {stature * _LEG_SHARE:.3g} units fit a person in no known length unit; scale "
            f"the file to metres (a stature of {lowest:g} to {highest:g} m)"
        )
    return name


def _rotations_only(text: str) -> str:
    """Fold position channels of joints below the root into their offsets; pybvh refuses them."""
    header, mark, body = text.partition("MOTION")
    joints = [(m["offset"].split(), m["channels"].split()) for m in _JOINT_LINES.finditer(header)]
    moves = [[channel.lower().endswith("position") for channel in channels] for _, channels in joints]
    if not any(map(any, moves[1:])):
        return text
    lines = body.strip().splitlines()
    values = np.array([line.split() for line in lines[2:] if line.strip()], np.float64)
    medians = np.split(np.median(values, axis=0), np.cumsum([len(flags) for flags in moves])[:-1])
    blocks = [f"OFFSET {' '.join(joints[0][0])}\nCHANNELS {len(joints[0][1])} {' '.join(joints[0][1])}"]
    for (offset, channels), flags, median in zip(joints[1:], moves[1:], medians[1:], strict=True):
        turns = [channel for channel, flag in zip(channels, flags, strict=True) if not flag]
        rest = _folded_offset(np.array(offset, np.float64), channels, flags, median)
        blocks.append(f"OFFSET {rest[0]} {rest[1]} {rest[2]}\nCHANNELS {len(turns)} {' '.join(turns)}")
    keep = ~np.concatenate([np.zeros(len(moves[0]), bool), *(np.array(flags, bool) for flags in moves[1:])])
    rows = "\n".join(" ".join(map(repr, row)) for row in values[:, keep].tolist())
    folded = iter(blocks)
    return f"{_JOINT_LINES.sub(lambda _: next(folded), header)}{mark}\n{lines[0]}\n{lines[1]}\n{rows}\n"


def _folded_offset(offset: Floats, channels: list[str], flags: list[bool], median: Floats) -> Floats:
    """Position channels replace the offset, as most writers mean it; near zero they add to it."""
    moved = np.abs(median[: len(flags)][np.array(flags)])
    if not moved.size or moved.max() < 0.1 * np.abs(offset).max():
        return offset
    for channel, flag, value in zip(channels, flags, median, strict=False):
        if flag:
            offset["XYZ".index(channel[0].upper())] = value
    return offset


def _hierarchy(offsets: Floats) -> tuple[list[BvhNode], list[int]]:
    """Nodes in file order (depth first) and the joint ids in the same order."""
    nodes: list[BvhNode] = []
    order: list[int] = []
    made: dict[int, BvhJoint] = {}

    def add(joint: int) -> None:
        name, rest = JOINT_NAMES[joint], offsets[joint].tolist()
        if joint == 0:
            made[0] = BvhRoot(name, [0.0, 0.0, 0.0], ["X", "Y", "Z"], ["Z", "Y", "X"], [], None)
        else:
            parent = made[PARENTS[joint]]
            made[joint] = BvhJoint(name, rest, ["Z", "Y", "X"], [], parent)
            parent.children = [*parent.children, made[joint]]
        nodes.append(made[joint])
        order.append(joint)
        for child in CHILDREN[joint]:
            add(child)
        if not CHILDREN[joint]:
            end = BvhEndSite(f"EndSite{name}", list(_END_SITES[name]), made[joint])
            made[joint].children = [end]
            nodes.append(end)

    add(0)
    assert len(order) == JOINTS
    return nodes, order


def _continuous_zyx(rotations: Floats) -> Floats:
    """ZYX Euler angles `[frames, k, 3]` of `[frames, k, 3, 3]`, rad, each nearest to the frame before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gimbal lock: any solution is right, and continuity chooses
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler("ZYX")
    angles = np.asarray(angles, np.float64).reshape(*rotations.shape[:2], 3)
    flip = np.full(3, np.pi)
    for frame in range(1, len(angles)):
        # (z, y, x) and (z + pi, pi - y, x + pi) are the same rotation.
        pair = np.stack([angles[frame], flip + angles[frame] * [1.0, -1.0, 1.0]])
        pair -= 2 * np.pi * np.round((pair - angles[frame - 1]) / (2 * np.pi))
        nearest = np.abs(pair - angles[frame - 1]).sum(axis=-1).argmin(axis=0)
        angles[frame] = pair[nearest, np.arange(angles.shape[1])]
    return angles


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    # pybvh names its own temporary file, which says nothing to the user.
    return re.sub(r"\s*(in file |in )?\S*motion\.bvh:?", "", text.splitlines()[0].partition(";")[0])
