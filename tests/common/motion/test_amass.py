from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from common.motion.amass import REST_OFFSETS, read_amass
from common.motion.kinematics import bone_lengths
from common.motion.skeleton import JOINT_NAMES, REFERENCE_BONES
from tests.common.motion.files import fuzz, write_npz

AT = {name: index for index, name in enumerate(JOINT_NAMES)}


def test_a_walk_stands_on_the_floor_walks_forward_and_has_our_bones(tmp_path: Path) -> None:
    motion = read_amass(write_npz(tmp_path / "a.npz"))
    joints = motion.joints
    assert joints.shape == (60, 22, 3) and motion.source_rate == 30.0 and motion.unit == "m"
    assert joints[-1, 0, 2] == pytest.approx(1.2 * 59 / 20, abs=0.05)  # along +Z
    assert joints[..., 1].min() == pytest.approx(0.0, abs=1e-6) and 0.8 < joints[:, 0, 1].mean() < 1.1
    assert joints[0, AT["left_hip"], 0] > joints[0, AT["right_hip"], 0]  # left is +X
    assert (joints[:, AT["left_wrist"], 1] < joints[:, AT["left_shoulder"], 1]).all()
    assert np.allclose(bone_lengths(joints), REFERENCE_BONES, atol=1e-4)


def test_the_rest_pose_is_a_t_pose_of_the_reference_skeleton(tmp_path: Path) -> None:
    poses = np.zeros((40, 72))
    path = write_npz(tmp_path / "a.npz", frames=40, poses=poses, trans=np.zeros((40, 3)))
    joints = read_amass(path).joints[0]
    arm = joints[AT["left_wrist"]] - joints[AT["left_shoulder"]]
    leg = joints[AT["left_ankle"]] - joints[AT["left_hip"]]
    assert abs(arm[1]) < 1e-5 and arm[0] > 0.5 and leg[1] < -0.8 and abs(leg[2]) < 1e-5
    assert np.allclose(np.linalg.norm(REST_OFFSETS, axis=1), REFERENCE_BONES)


def test_a_joint_turns_what_hangs_on_it_and_nothing_else(tmp_path: Path) -> None:
    poses = np.zeros((40, 66))
    still = read_amass(write_npz(tmp_path / "a.npz", frames=40, poses=poses, trans=np.zeros((40, 3)))).joints
    poses[:, 3 * AT["left_knee"]] = np.pi / 2  # a knee bends backwards: about +X, the shank goes to -Z
    bent = read_amass(write_npz(tmp_path / "b.npz", frames=40, poses=poses, trans=np.zeros((40, 3)))).joints
    shank = bent[0, AT["left_ankle"]] - bent[0, AT["left_knee"]]
    assert np.allclose(shank, [0, 0, -REFERENCE_BONES[AT["left_ankle"]]], atol=1e-5)
    moved = np.abs((bent - bent[:, :1]) - (still - still[:, :1])).max(axis=(0, 2)) > 1e-5
    assert {JOINT_NAMES[i] for i in np.flatnonzero(moved)} == {"left_ankle", "left_foot"}


@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_smpl_smplh_and_smplx_give_the_same_body(tmp_path: Path, width: int) -> None:
    expected = read_amass(write_npz(tmp_path / "a.npz")).joints
    assert np.array_equal(read_amass(write_npz(tmp_path / "b.npz", width=width)).joints, expected)


def test_names_of_other_releases_are_known(tmp_path: Path) -> None:
    first = write_npz(tmp_path / "a.npz")
    with np.load(first) as found:
        poses = found["poses"]
    split: dict[str, Any] = {"poses": None, "root_orient": poses[:, :3], "pose_body": poses[:, 3:66]}
    second = write_npz(tmp_path / "b.npz", mocap_framerate=None, mocap_frame_rate=30, **split)
    assert np.array_equal(read_amass(second).joints, read_amass(first).joints)


def test_shape_and_gender_change_nothing_and_objects_are_never_loaded(tmp_path: Path) -> None:
    expected = read_amass(write_npz(tmp_path / "a.npz")).joints
    odd = write_npz(tmp_path / "b.npz", betas=np.full(16, 5.0), gender=np.array({"x": 1}, dtype=object))
    assert np.array_equal(read_amass(odd).joints, expected)
    with pytest.raises(InputError, match=r"not a readable \.npz of numbers"):
        read_amass(write_npz(tmp_path / "c.npz", poses=np.array([{"x": 1}], dtype=object)))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "0 frames at 30 fps are no motion"),
        ({"poses": np.zeros((90, 63))}, "are no SMPL body"),
        ({"poses": np.full((90, 156), np.nan)}, "frame 1 holds NaN"),
        ({"trans": np.full((90, 3), 1e9)}, "absurd"),
        ({"trans": np.zeros((80, 3))}, "does not fit 90 poses"),
        ({"trans": None}, "no array trans"),
        ({"mocap_framerate": None}, "says no frame rate"),
        ({"mocap_framerate": np.nan}, "nan fps are no motion"),
        ({"mocap_framerate": np.ones(3)}, "is not one number"),
        ({"poses": np.array(["x"])}, "holds no numbers"),
        ({"trans": np.arange(270.0).reshape(90, 3) * 10}, "the body moves at"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_npz(tmp_path / "bad.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_amass(path)
    assert "bad.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_files_are_named_and_nothing_else_happens(tmp_path: Path) -> None:
    assert fuzz(read_amass, write_npz(tmp_path / "a.npz", frames=40, width=66), 150) > 80
