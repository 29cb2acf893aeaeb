"""BVH files in and out: the only adapter on pybvh."""

from __future__ import annotations

import gzip
import re
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import pybvh
from numpy.typing import ArrayLike, NDArray
from pybvh.bvhnode import BvhEndSite, BvhJoint, BvhNode, BvhRoot
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.motion.conventions import convention, missing_joints, to_joints
from common.motion.intake import HUGE, Motion, check_clock, check_numbers, leading_t_pose, settle
from common.motion.joint_map import WAY_OUT, JointMap
from common.motion.kinematics import CHILDREN, joint_rotations
from common.motion.skeleton import FRAME_RATE, JOINT_NAMES, JOINTS, PARENTS

Floats = NDArray[np.float64]

SUFFIXES: Final = (".bvh", ".bvh.gz")
_END_SITES: Final = {
    "head": (0.0, 0.18, 0.0),
    "left_foot": (0.0, 0.0, 0.06),
    "right_foot": (0.0, 0.0, 0.06),
    "left_wrist": (0.09, 0.0, 0.0),
    "right_wrist": (-0.09, 0.0, 0.0),
}
_NAMES: Final = re.compile(
    r"^(?P<kind>[ \t]*(?:ROOT|JOINT)[ \t]+)(?P<name>\S[^{\n]*?)(?P<end>[ \t]*\{?[ \t]*)$", re.MULTILINE
)
_HEADER_BYTES: Final = 1 << 16
_JOINT_LINES: Final = re.compile(r"OFFSET(?P<offset>[^\n]*)\n\s*CHANNELS\s+\d+(?P<channels>[^\n]*)")


def read_bvh(path: Path, joint_map: JointMap | None = None) -> Motion:
    """Read `path` (.bvh or .bvh.gz) as our 22 joints on the floor, at the origin, facing +Z in frame 0.

    - Joints: by `joint_map`, or by name from the first complete table of
      `common.motion.conventions`.
    - Up, unit and rate: `common.motion.intake.settle`, at rest as in the rest pose. Position
      channels of joints other than the root count as constant offsets (their median).
    - Leading frames in the rest pose (every joint below the root exactly unturned), or one
      in a T-pose from which the body jumps, are the converter's, not the person's, and left out.

    Raises InputError on a file that cannot be read, has no or non-finite frames, or
    joints that cannot be mapped.
    """
    skeleton = _parse(path)
    source_rate = 1.0 / skeleton.frame_time if skeleton.frame_time > 0 else 0.0
    check_clock(path, skeleton.frame_count, source_rate)
    names = [node.name for node in skeleton.nodes]
    joints, rest, convention = _mapped(path, skeleton, names, joint_map)
    joints = joints[_leading_rest_frames(skeleton) :]
    joints = joints[leading_t_pose(joints) :]
    up = rest[12] - (rest[7] + rest[8]) / 2
    own = tuple(skeleton.joint_names)
    return settle(path, joints, source_rate, up=up, skeleton=convention, names=own)


def joint_names(path: Path) -> tuple[str, ...]:
    """The joints that the header of a BVH file names, in file order; no motion is parsed."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            header = b""
            while b"MOTION" not in header and (piece := stream.read(_HEADER_BYTES)):
                header += piece
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as a BVH file ({_first_line(error)})") from None
    names = tuple(match["name"] for match in _NAMES.finditer(_text(header).partition("MOTION")[0]))
    if not names:
        raise InputError(f"{path}: not a BVH file (no ROOT joint)")
    if b"MOTION" not in header:  # else a skeleton cut short would pass for another skeleton
        raise InputError(f"{path}: cannot be read as a BVH file (it ends before MOTION)")
    return names


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
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
        text = _text(data)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's "input contained no data": the check below says it
            plain = Path(folder) / "motion.bvh"
            plain.write_text(_rotations_only(_NAMES.sub(_one_word, text)), encoding="utf-8")
            skeleton = pybvh.read_bvh_file(plain, world_up="+y")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # a corrupt file breaks pybvh in many ways, none of which names the file
        raise InputError(f"{path}: not a readable BVH file ({_first_line(error)})") from None
    angles = skeleton.joint_angles.reshape(len(skeleton.root_pos), -1)
    check_numbers(path, np.concatenate([skeleton.root_pos, angles], axis=1))
    if not all((np.abs(node.offset) < HUGE).all() for node in skeleton.nodes):
        raise InputError(f"{path}: an OFFSET is NaN, infinite or absurd")
    return skeleton


def _mapped(
    path: Path, skeleton: pybvh.Bvh, names: list[str], joint_map: JointMap | None
) -> tuple[Floats, Floats, str]:
    """Our joints in the file's axes and unit, those of its rest pose, and the convention they follow."""
    moving = skeleton.node_positions()
    still = skeleton.rest_pose_positions()[None]
    if joint_map is not None:
        joints = joint_map.place(path, names, moving)
        return joints, joint_map.place(path, names, still)[0], joint_map.path.name
    table = convention(names)
    if table is None:
        missing = missing_joints(names)
        raise InputError(
            f"{path}: no joint for {', '.join(missing[:3])} among {', '.join(skeleton.joint_names[:6])};"
            f" {WAY_OUT}"
        )
    return to_joints(names, moving), to_joints(names, still)[0], table


def _leading_rest_frames(skeleton: pybvh.Bvh) -> int:
    moving = np.abs(skeleton.joint_angles[:, 1:]).max(axis=(1, 2), initial=0.0) > 1e-6
    first = int(np.argmax(moving))
    return first if moving.any() and skeleton.frame_count - first >= 2 else 0


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


def _one_word(match: re.Match[str]) -> str:
    """A joint's line with spaces in its name replaced; pybvh ends a name at the first."""
    return f"{match['kind']}{'_'.join(match['name'].split())}{match['end']}"


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
