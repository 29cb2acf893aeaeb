"""Motion files of every format, written from the procedural population, and ways to break them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import ezc3d
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.motion.bvh import write_bvh
from common.motion.population import PRIVATE, synthesise
from common.motion.skeleton import JOINT_NAMES, JOINTS

Floats = NDArray[np.float64]


@cache
def walk(person: int = 0, frames: int = 61) -> Floats:
    """A procedural walk, `[frames, 22, 3]`, metres, Y up."""
    return next(synthesise(PRIVATE, 1, [person], motions=1, frames=frames)).samples.astype(np.float64)


def z_up(joints: Floats) -> Floats:
    return np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)


def write_npz(path: Path, frames: int = 90, rate: float = 30.0, width: int = 156, **changes: object) -> Path:
    """An AMASS file of somebody who walks along -Y (Z up) swinging arms and legs."""
    poses = np.zeros((frames, width))
    time = np.arange(frames) / rate
    poses[:, :3] = Rotation.from_euler("x", 90, degrees=True).as_rotvec()
    poses[:, 3] = 0.4 * np.sin(6 * time)
    poses[:, 6] = -0.4 * np.sin(6 * time)
    poses[:, 16 * 3 + 2], poses[:, 17 * 3 + 2] = -1.2, 1.2  # arms down
    trans = np.stack([0 * time, -1.2 * time, 0.9 + 0 * time], axis=1)
    arrays: dict[str, object] = {
        "poses": poses, "trans": trans, "mocap_framerate": rate, "gender": np.array("male"),
        "betas": np.zeros(16),
    }  # fmt: skip
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    return path


def markers_of(joints: Floats) -> dict[str, Floats]:
    """Plug-in Gait markers around our joints, metres."""
    at = {name: joints[:, i] for i, name in enumerate(JOINT_NAMES)}
    across = at["left_hip"] - at["right_hip"]
    x = across / np.linalg.norm(across, axis=1, keepdims=True)
    z = np.cross(x, [0.0, 1.0, 0.0])
    up = np.array([0.0, 1.0, 0.0])
    found = {"C7": at["neck"] - 0.05 * z, "CLAV": at["neck"] + 0.05 * z}
    found |= {"T10": at["spine3"] - 0.1 * z, "STRN": at["spine3"] + 0.1 * z}
    for side, letter, out in (("left", "L", x), ("right", "R", -x)):
        found[f"{letter}ASI"] = at["pelvis"] + 0.12 * out + 0.06 * z + 0.03 * up
        found[f"{letter}PSI"] = at["pelvis"] + 0.05 * out - 0.1 * z + 0.03 * up
        names = {"KNE": "knee", "ANK": "ankle", "TOE": "foot", "SHO": "shoulder", "ELB": "elbow"}
        found |= {letter + marker: at[f"{side}_{ours}"] for marker, ours in names.items()}
        for front, sign in (("F", 1), ("B", -1)):
            found[f"{letter}{front}HD"] = at["head"] + 0.07 * out + sign * 0.08 * z
        for edge, sign in (("A", 1), ("B", -1)):
            found[f"{letter}WR{edge}"] = at[f"{side}_wrist"] + sign * 0.03 * z
    return found


def write_c3d(path: Path, markers: dict[str, Floats], rate: float = 100.0, factor: float = 1000.0) -> Path:
    """A C3D file by ezc3d, in millimetres; markers that are NaN are marked as unseen."""
    file = ezc3d.c3d()
    points = np.ones((4, len(markers), len(next(iter(markers.values())))))
    points[:3] = np.stack(list(markers.values()), axis=1).transpose(2, 1, 0) * factor
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["parameters"]["POINT"]["LABELS"]["value"] = tuple(markers)
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(np.isnan(points[0]), -1.0, 0.0)[None]
    file.write(str(path))
    return path


def write_humanml3d(folder: Path, motions: dict[str, Floats]) -> Path:
    """A HumanML3D folder: positions, texts of which one describes a part, all.txt and train.txt."""
    for name in ("new_joints", "texts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, joints in motions.items():
        np.save(folder / "new_joints" / f"{name}.npy", joints.astype(np.float32))
        (folder / "texts" / f"{name}.txt").write_text(
            "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0\n"
            "someone strides along#someone/NOUN stride/VERB#nan#nan\n"
            "steps once#step/VERB once/ADV#1.0#2.5\n"
        )
    (folder / "all.txt").write_text("\n".join(motions) + "\n")
    (folder / "train.txt").write_text(next(iter(motions)) + "\n")
    return folder


def write_sensor_csv(path: Path, header: str, rows: Floats) -> Path:
    lines = [header, *(",".join(f"{cell:.10g}" for cell in row) for row in rows)]
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def sensor_rows(
    seconds: float = 4.0, rate: float = 100.0, acc: float = 1.0, gyro: float = 1.0, time: float = 1.0
) -> Floats:
    """Time, acceleration (m/s^2 x `acc`) and turning (rad/s x `gyro`) of a wrist on an uneven clock."""
    rng = np.random.default_rng(0)
    clock = np.cumsum(rng.uniform(0.5, 1.5, round(seconds * rate)) / rate)
    swing = np.sin(2 * np.pi * clock)[:, None]
    acceleration = np.array([0.0, 9.81, 0.0]) + swing * [3.0, 2.5, 1.0]
    turning = np.cos(2 * np.pi * clock)[:, None] * [2.0, 0.5, 1.0]
    return np.column_stack([1000.0 * time + clock * time, acceleration * acc, turning * gyro])


def damaged(data: bytes, count: int, head: int = 4096, seed: int = 0) -> Iterator[bytes]:
    """`data` cut off at many places, with bytes changed near its start, and with bytes changed anywhere."""
    rng = np.random.default_rng(seed)
    for turn in range(count):
        broken = bytearray(data)
        if turn % 3 == 0:
            broken = broken[: int(rng.integers(0, len(broken)))]
        else:
            reach = min(len(broken), head if turn % 3 == 1 else len(broken))
            for place in rng.integers(0, reach, int(rng.integers(1, 12))):
                broken[place] = int(rng.integers(0, 256))
        yield bytes(broken)


def fuzz(read: Callable[[Path], object], path: Path, count: int, head: int = 4096) -> int:
    """How many of `count` damaged copies of `path` are refused; anything but one line naming it fails."""
    refused = 0
    copy = path.with_name(f"broken_{path.name}")
    for broken in damaged(path.read_bytes(), count, head):
        copy.write_bytes(broken)
        try:
            read(copy)
        except InputError as error:
            assert copy.name in str(error) and "\n" not in str(error), error
            refused += 1
    return refused


def write_walk_bvh(path: Path, person: int = 0) -> Path:
    write_bvh(path, walk(person))
    assert walk(person).shape[1] == JOINTS
    return path
