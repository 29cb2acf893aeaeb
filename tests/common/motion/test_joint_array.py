from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.joint_array import read_joint_array
from common.motion.kinematics import place, project_bones
from tests.common.motion.files import fuzz, walk, z_up


def save(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


@pytest.mark.parametrize("shape", [(61, 22, 3), (61, 66)])
def test_positions_come_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    motion = read_joint_array(save(tmp_path / "a.npy", walk().reshape(shape)))
    expected = place(project_bones(walk(), rigid=False))
    assert motion.joints.shape == (61, 22, 3) and motion.source_rate == 20.0 and motion.unit == "m"
    assert np.abs(motion.joints - expected).max() < 1e-4


@pytest.mark.parametrize("factor, unit", [(1000.0, "mm"), (100.0, "cm")])
def test_unit_and_up_axis_are_found(tmp_path: Path, factor: float, unit: str) -> None:
    straight = read_joint_array(save(tmp_path / "a.npy", walk())).joints
    motion = read_joint_array(save(tmp_path / "b.npy", z_up(walk()) * factor))
    assert motion.unit == unit and np.abs(motion.joints - straight).max() < 1e-4


def test_the_rate_is_as_stated(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", walk(frames=121))
    assert len(read_joint_array(path, 60.0).joints) == 41


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((0, 22, 3)), "holds no frames"),
        (walk()[:1], "1 frames at 20 fps are no motion"),
        (walk()[:, :20], r"\[61, 20, 3\] is none of"),
        (walk()[:, :21], "KIT-ML"),
        (np.zeros((61, 251)), "KIT-ML"),
        (np.array(["a", "b"]), "not an array of numbers"),
        (np.array([{"a": 1}], dtype=object), "not a readable array"),
        (np.full((61, 22, 3), 1e9), "frame 1 holds NaN, infinity or an absurd value"),
        (walk() * 1e-4, "no known length unit"),
        (walk()[None], "is none of"),
    ],
)
def test_anything_else_is_refused_with_its_reason(tmp_path: Path, array: object, message: str) -> None:
    path = save(tmp_path / "bad.npy", array)
    with pytest.raises(InputError, match=message) as caught:
        read_joint_array(path)
    assert "bad.npy" in str(caught.value) and "\n" not in str(caught.value)


def test_the_first_frame_that_is_no_number_is_named(tmp_path: Path) -> None:
    joints = walk().copy()
    joints[17, 3, 1] = np.nan
    with pytest.raises(InputError, match="frame 18 holds NaN"):
        read_joint_array(save(tmp_path / "a.npy", joints))


def test_a_body_that_jumps_across_the_room_is_refused(tmp_path: Path) -> None:
    joints = walk().copy()
    joints[30] += [9.0, 0.0, 0.0]
    with pytest.raises(InputError, match=r"the body moves at 1\d\d m/s"):
        read_joint_array(save(tmp_path / "a.npy", joints))


def test_damaged_files_are_named_and_nothing_else_happens(tmp_path: Path) -> None:
    assert fuzz(read_joint_array, save(tmp_path / "a.npy", walk().astype(np.float32)), 200, head=128) > 100


def test_vectors_of_humanml3d_are_joints(tmp_path: Path) -> None:
    maths = pytest.importorskip("common.motion.humanml3d")
    vectors = maths.to_humanml3d(walk())
    assert vectors.shape[1] == 263
    motion = read_joint_array(save(tmp_path / "a.npy", vectors))
    expected = read_joint_array(save(tmp_path / "b.npy", walk()[: len(vectors)])).joints
    assert motion.joints.shape == expected.shape and np.abs(motion.joints - expected).max() < 0.05
