"""AMASS-style `.npz` files: SMPL joint rotations, put on our own skeleton."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.motion.intake import Motion, check_clock, check_numbers, settle
from common.motion.kinematics import forward
from common.motion.skeleton import JOINTS, REFERENCE_BONES

Floats = NDArray[np.float64]

SUFFIX: Final = ".npz"
RATES: Final = ("mocap_framerate", "mocap_frame_rate", "fps")
"""What releases call the frame rate, the first that a file has."""

_LARGEST: Final = 2 << 30  # bytes of one array once unpacked
_TURNS: Final = 1e3  # radians; no rotation vector is that long
_FAR: Final = 1e5  # metres


def _rest_offsets() -> Floats:
    """Our reference bones in SMPL's rest pose, a T-pose: arms out, hips half a hand below the pelvis.

    Directions follow the proportions of Drillis and Contini (see `anthropometry`), lengths
    are `REFERENCE_BONES`; SMPL's own body shapes are not used.
    """
    left = {1: (0.86, -0.51, 0.0), 13: (0.51, 0.86, 0.0), 16: (0.98, 0.18, 0.0), 10: (0.0, -0.33, 0.94)}
    left |= {4: (0.0, -1.0, 0.0), 7: (0.0, -1.0, 0.0), 18: (1.0, 0.0, 0.0), 20: (1.0, 0.0, 0.0)}
    directions = np.zeros((JOINTS, 3))
    directions[[3, 6, 9, 12]] = (0.0, 1.0, 0.0)
    directions[15] = (0.0, 0.94, 0.34)
    for joint, (x, y, z) in left.items():
        directions[joint], directions[joint + 1] = (x, y, z), (-x, y, z)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(directions / np.maximum(norms, 1e-9) * REFERENCE_BONES[:, None], np.float64)


REST_OFFSETS: Final[Floats] = _rest_offsets()
"""Offsets of our joints from their parents in SMPL's rest pose, metres, `[22, 3]`."""


def read_amass(path: Path, rate: float | None = None) -> Motion:
    """Read a `.npz` of `poses` `[frames, >= 66]` (axis-angle, rad), `trans` `[frames, 3]` and a frame rate.

    The first 22 joints of SMPL, SMPL-H and SMPL-X are ours; hands and face are left out, and
    so are `betas` and gender: everybody gets the reference skeleton. `root_orient` with
    `pose_body` stands for `poses`. `rate` counts where the file says none. Z is up where
    nobody stands (`common.motion.intake.settle` finds out where somebody does).
    """
    arrays = _arrays(path)
    poses, trans = _poses(path, arrays), _numbers(path, arrays, "trans")
    source_rate = _rate(path, arrays, rate)
    if trans.shape != (len(poses), 3):
        raise InputError(
            f"{path}: trans {list(trans.shape)} does not fit {len(poses)} poses; it is [frames, 3]"
        )
    check_clock(path, len(poses), source_rate)
    check_numbers(path, poses, _TURNS)
    check_numbers(path, trans, _FAR)
    turns = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix()
    joints = forward(REST_OFFSETS, turns.reshape(len(poses), JOINTS, 3, 3), trans)
    return settle(path, joints, source_rate, up=(0, 0, 1), unit="m", skeleton="SMPL rotations")


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays that are needed, by name; objects are never loaded."""
    needed = ("poses", "root_orient", "pose_body", "trans", *RATES)
    try:
        with zipfile.ZipFile(path) as archive:
            large = [info.filename for info in archive.infolist() if info.file_size > _LARGEST]
        if large:
            raise InputError(f"{path}: {large[0]} is over {_LARGEST >> 30} GiB; cut the recording")
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in needed if name in found.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # a corrupt archive breaks zipfile and numpy in many ways
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable .npz of numbers ({line}); save it again") from None


def _poses(path: Path, arrays: dict[str, Any]) -> Floats:
    """Rotation vectors of our joints, `[frames, 66]`."""
    if "poses" in arrays:
        poses = _numbers(path, arrays, "poses")
        if poses.ndim == 3 and poses.shape[2] == 3:
            poses = poses.reshape(len(poses), -1)
    else:
        root, body = _numbers(path, arrays, "root_orient"), _numbers(path, arrays, "pose_body")
        if root.ndim != 2 or body.ndim != 2 or len(root) != len(body):
            raise InputError(f"{path}: root_orient and pose_body are [frames, 3] and [frames, 63]")
        poses = np.concatenate([root, body], axis=1)
    if poses.ndim != 2 or poses.shape[1] < 3 * JOINTS or poses.shape[1] % 3:
        raise InputError(
            f"{path}: poses {list(poses.shape)} are no SMPL body: [frames, 66 or more], three numbers a joint"
        )
    return poses[:, : 3 * JOINTS]


def _rate(path: Path, arrays: dict[str, Any], stated: float | None) -> float:
    name = next((name for name in RATES if name in arrays), None)
    if name is None:
        if stated is None:
            raise InputError(f"{path}: says no frame rate ({' or '.join(RATES[:2])}); give --rate")
        return stated
    value = _numbers(path, arrays, name)
    if value.size != 1:
        raise InputError(f"{path}: {name} is not one number; save it again")
    return float(value.reshape(-1)[0])


def _numbers(path: Path, arrays: dict[str, Any], name: str) -> Floats:
    if name not in arrays:
        known = ", ".join(sorted(arrays)) or "none of poses, trans and a frame rate"
        raise InputError(f"{path}: no array {name}; it has {known}")
    if arrays[name].dtype.kind not in "fiu":
        raise InputError(f"{path}: {name} holds no numbers; save it again")
    return np.asarray(arrays[name], np.float64)
