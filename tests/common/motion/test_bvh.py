from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pybvh
import pytest

from common.errors import InputError
from common.motion.bvh import joint_names, read_bvh, write_bvh
from common.motion.export import write_motions
from common.motion.kinematics import bone_lengths, place, project_bones
from common.motion.skeleton import JOINT_NAMES, PARENTS
from tests.common.motion.test_kinematics import rigid_motion

MIXAMO = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck",
    "head": "Head",
    "left_hip": "LeftUpLeg", "left_knee": "LeftLeg", "left_ankle": "LeftFoot", "left_foot": "LeftToeBase",
    "left_collar": "LeftShoulder", "left_shoulder": "LeftArm", "left_elbow": "LeftForeArm",
    "left_wrist": "LeftHand",
}  # fmt: skip
MIXAMO |= {ours.replace("left", "right"): theirs.replace("Left", "Right") for ours, theirs in MIXAMO.items()}
SMPL = {name: re.sub(r"^(l|r)(eft|ight)_", lambda m: f"{m[1].upper()}_", name) for name in JOINT_NAMES}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A rigid motion of 2.5 s as BVH."""
    path = tmp_path / "p1_clip.bvh"
    write_bvh(path, place(rigid_motion(swing=0.3)))
    return path


def edit(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, pattern
    path.write_text(text)
    return path


def set_value(path: Path, frame: int, value: str, column: int = 10) -> Path:
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    cells = lines[first + frame].split()
    cells[column] = value
    lines[first + frame] = " ".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_is_written_reads_back(written: Path) -> None:
    joints = place(rigid_motion(swing=0.3))
    motion = read_bvh(written)
    assert motion.unit == "m" and motion.source_rate == pytest.approx(20.0)
    assert motion.joints.dtype == np.float32 and motion.joints.shape == joints.shape
    assert np.abs(motion.joints - joints).max() < 1e-3
    assert motion.names[0] == "pelvis" and set(motion.names) == set(JOINT_NAMES)


def test_other_tools_find_twenty_two_joints_constant_bones_and_the_projected_positions(
    tmp_path: Path,
) -> None:
    noisy = rigid_motion() + np.random.default_rng(1).normal(0, 0.01, (50, 22, 3))
    write_bvh(tmp_path / "x.bvh", noisy)
    seen = pybvh.read_bvh_file(tmp_path / "x.bvh")
    joints = seen.joint_positions()[:, [seen.joint_names.index(name) for name in JOINT_NAMES]]
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, PARENTS[1:]], axis=-1)
    assert seen.joint_count == 22 and sum(node.is_end_site() for node in seen.nodes) == 5
    assert lengths.std(axis=0).max() < 1e-6
    assert np.abs(joints - project_bones(noisy)).max() < 1e-3
    assert (seen.world_up, seen.rest_up) == ("+y", "+y")
    assert np.abs(np.diff(seen.joint_angles, axis=0)).max() < np.pi


@pytest.mark.parametrize("names", [MIXAMO, SMPL, {k: f"mixamorig:{v}" for k, v in MIXAMO.items()}])
def test_other_names_give_the_same_motion(written: Path, names: dict[str, str]) -> None:
    expected = read_bvh(written).joints
    text = written.read_text()
    for ours, theirs in names.items():
        text = re.sub(rf"(ROOT|JOINT) {ours}$", rf"\1 {theirs}", text, flags=re.MULTILINE)
    written.write_text(text)
    assert np.array_equal(read_bvh(written).joints, expected)


@pytest.mark.parametrize("factor, unit", [(100.0, "cm"), (1000.0, "mm"), (39.37, "inch"), (17.7165, "CMU")])
def test_the_unit_follows_from_stature(written: Path, factor: float, unit: str) -> None:
    expected = read_bvh(written).joints
    pybvh.read_bvh_file(written).scale(factor).write(written)
    motion = read_bvh(written)
    assert motion.unit.startswith(unit)
    assert np.abs(motion.joints - expected).max() < 2e-3


@pytest.mark.parametrize("up", ["+z", "-y", "+x"])
def test_another_up_axis_is_turned_to_y(written: Path, up: str) -> None:
    expected = read_bvh(written).joints
    skeleton = pybvh.read_bvh_file(written)
    both = skeleton.reorient_rest_up(up).reorient_world_up(up)
    both.write(written)
    assert np.abs(read_bvh(written).joints - expected).max() < 1e-3


def test_position_channels_below_the_root_become_offsets(written: Path) -> None:
    expected = read_bvh(written).joints
    header, body = written.read_text().split("MOTION")
    offsets = re.findall(r"JOINT.*\n.*\n.*OFFSET (.*)\n", header)
    header = header.replace("CHANNELS 3 ", "CHANNELS 6 Xposition Yposition Zposition ")
    header = re.sub(r"(JOINT.*\n.*\n.*OFFSET) .*\n", r"\1 0 0 0\n", header)
    lines = body.strip().splitlines()
    rows = []
    for line in lines[2:]:
        cells = line.split()
        turns = [cells[i : i + 3] for i in range(6, len(cells), 3)]
        joints = [f"{o} {' '.join(t)}" for o, t in zip(offsets, turns, strict=True)]
        rows.append(" ".join([*cells[:6], *joints]))
    written.write_text("\n".join([header + "MOTION", *lines[:2], *rows]) + "\n")
    assert np.abs(read_bvh(written).joints - expected).max() < 1e-4


def test_a_leading_rest_pose_is_left_out(written: Path) -> None:
    expected = read_bvh(written).joints
    lines = written.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    rest = " ".join(["0"] * len(lines[first].split()))
    lines.insert(first, rest)
    written.write_text("\n".join(lines).replace("Frames: 50", "Frames: 51"))
    assert np.abs(read_bvh(written).joints - expected).max() < 1e-5


@pytest.mark.parametrize("rate, frames", [(120.0, 50), (60.0, 50), (24.0, 50), (10.0, 50)])
def test_every_rate_becomes_twenty_frames(tmp_path: Path, rate: float, frames: int) -> None:
    joints = rigid_motion(frames=round(frames * rate / 20), swing=0.3)
    write_bvh(tmp_path / "x.bvh", joints, rate)
    motion = read_bvh(tmp_path / "x.bvh")
    assert motion.source_rate == pytest.approx(rate)
    assert len(motion.joints) == int((len(joints) - 1) / rate * 20 + 1e-6) + 1
    assert np.allclose(bone_lengths(motion.joints), bone_lengths(joints), atol=1e-4)


def test_compressed_and_plain_files_are_the_same(written: Path) -> None:
    packed = written.with_suffix(".bvh.gz")
    packed.write_bytes(gzip.compress(written.read_bytes()))
    assert np.array_equal(read_bvh(packed).joints, read_bvh(written).joints)
    assert joint_names(packed) == joint_names(written) == read_bvh(written).names


@pytest.mark.parametrize(
    "changes, message",
    [
        ([(r"^(Frames: )50", r"\g<1>51")], "declares 51 frames"),
        ([(r"^(Frames: )50", r"\g<1>0")], "missing or zero"),
        ([(r"(Frame Time: ).*", r"\g<1>1.0")], "are no motion"),
        ([(r"CHANNELS 3 Zrotation Yrotation Xrotation", "CHANNELS 2 Zrotation Yrotation")], "channels"),
        ([(r"left_knee", "tentacle")], "no joint for left_knee"),
        ([(r"^(\s*OFFSET) .*", r"\1 0 0.0001 0")], "no known length unit"),
        ([(r"^ROOT", "RUTE")], "not a readable BVH"),
        ([(r"(JOINT head\n.*\n.*OFFSET) .*", r"\1 0 nan 0")], "an OFFSET is NaN"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(
    written: Path, changes: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_bvh(edit(written, *changes))
    assert str(written) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "inf", "1e30"])
def test_a_value_that_is_no_number_is_named_with_its_frame(written: Path, value: str) -> None:
    set_value(set_value(written, 40, value), 17, value)
    with pytest.raises(InputError, match="frame 18 holds NaN"):
        read_bvh(written)


def test_truncated_and_foreign_files_are_refused(written: Path, tmp_path: Path) -> None:
    text = written.read_text()
    packed = gzip.compress(written.read_bytes())
    for name, data in {
        "cut.bvh": text[: len(text) * 2 // 3].encode(),
        "header.bvh": text[: text.index("MOTION")].encode(),
        "empty.bvh": b"",
        "binary.bvh": bytes(range(256)),
        "cut.bvh.gz": packed[: len(packed) // 2],
        "plain.bvh.gz": text.encode(),
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=re.escape(name)) as caught:
            read_bvh(tmp_path / name)
        assert "\n" not in str(caught.value) and "motion.bvh" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_bvh(tmp_path / "absent.bvh")


def test_a_motion_with_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN"):
        write_bvh(tmp_path / "x.bvh", np.full((3, 22, 3), np.nan))
    assert not (tmp_path / "x.bvh").exists()


def test_a_real_walk_stands_walks_forward_and_survives_the_round_trip(
    motion_folder: Path, tmp_path: Path
) -> None:
    motion = read_bvh(motion_folder / "02_01.bvh.gz")
    joints = motion.joints
    assert motion.unit.startswith("CMU") and motion.source_rate == pytest.approx(30.0)
    assert 0.85 < joints[:, 0, 1].mean() < 1.05  # pelvis height
    assert joints[-1, 0, 2] > 2 and abs(joints[-1, 0, 0]) < 0.6  # walks towards +Z
    assert joints[0, 1, 0] > joints[0, 2, 0]  # left is +X
    assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(joints[:, 4] - joints[:, 1], axis=-1).std() < 1e-6
    write_bvh(tmp_path / "back.bvh", joints)
    back = read_bvh(tmp_path / "back.bvh").joints
    error = np.linalg.norm(back - place(project_bones(joints)), axis=-1)
    assert error.max() < 1e-3
    assert np.linalg.norm(back - joints, axis=-1).mean() < 0.01


def test_the_converters_rest_frame_is_gone_from_a_real_run(motion_folder: Path) -> None:
    joints = read_bvh(motion_folder / "09_10.bvh.gz").joints
    posture = joints - joints[:, :1]
    assert np.linalg.norm(np.diff(posture, axis=0), axis=-1).max() * 20 < 10  # m/s


def test_generated_motions_become_one_file_each(tmp_path: Path) -> None:
    motions = [rigid_motion(frames=20, seed=seed) for seed in range(3)]
    names = ["a", "b", "c"]
    paths = write_motions(motions, tmp_path / "out", "bvh", names)
    assert [path.name for path in paths] == ["a.bvh", "b.bvh", "c.bvh"]
    assert all(len(read_bvh(path).joints) == 20 for path in paths)
    array = np.load(write_motions(motions, tmp_path / "out", "npy", names)[1])
    assert array.dtype == np.float32 and np.allclose(array, motions[1], atol=1e-6)
    with pytest.raises(InputError, match="bvh or gltf or npy"):
        write_motions(motions, tmp_path / "out", "csv", names)


def test_generated_sensor_windows_become_tables_with_a_clock(tmp_path: Path) -> None:
    path = write_motions([np.ones((64, 6))], tmp_path, "csv", ["w"])[0]
    lines = path.read_text().splitlines()
    assert (
        lines[0]
        == "time,acc_x (m/s^2),acc_y (m/s^2),acc_z (m/s^2),gyro_x (rad/s),gyro_y (rad/s),gyro_z (rad/s)"
    )
    assert len(lines) == 65 and lines[2].startswith("0.0200,1,")
