from __future__ import annotations

import struct
from pathlib import Path

import ezc3d
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.motion.c3d import MARKER_SETS, read_c3d
from common.motion.c3d_points import read_points
from common.motion.joint_array import read_joint_array
from common.motion.joint_map import JointMap
from common.motion.skeleton import JOINT_NAMES
from tests.common.motion.files import Floats, fuzz, markers_of, walk, write_c3d, z_up


def markers(person: int = 0) -> dict[str, Floats]:
    return {name: z_up(positions) for name, positions in markers_of(walk(person, frames=101)).items()}


def test_our_reader_finds_what_ezc3d_wrote(tmp_path: Path) -> None:
    path = write_c3d(tmp_path / "a.c3d", markers())
    seen, ours = ezc3d.c3d(str(path)), read_points(path)
    assert ours.names == tuple(seen["parameters"]["POINT"]["LABELS"]["value"]) and len(ours.names) == 26
    assert (ours.rate, ours.unit) == (100.0, "mm")
    assert np.array_equal(ours.positions, seen["data"]["points"][:3].transpose(2, 1, 0))


def test_plug_in_gait_gives_nearly_the_joints_that_the_markers_sit_around(tmp_path: Path) -> None:
    motion = read_c3d(write_c3d(tmp_path / "a.c3d", markers(), rate=20.0))
    assert motion.skeleton == "Plug-in Gait" and motion.unit == "mm" and motion.joints.shape == (101, 22, 3)
    ours, theirs = walk(frames=101).reshape(-1, 3), motion.joints.reshape(-1, 3)
    middle = ours.mean(axis=0)
    turn = Rotation.align_vectors(ours - middle, theirs - theirs.mean(axis=0))[0]
    error = np.linalg.norm(turn.apply(theirs - theirs.mean(axis=0)) - (ours - middle), axis=1)
    error = error.reshape(-1, 22).mean(axis=0)
    assert error.mean() < 0.04 and error.max() < 0.09, dict(zip(JOINT_NAMES, error.round(3), strict=True))
    for table in MARKER_SETS.values():
        assert all(sum(mix.values()) == pytest.approx(1.0) for mix in table.values())


def test_a_sacrum_marker_a_prefix_and_a_map_of_ones_own_do_as_well(tmp_path: Path) -> None:
    found = markers()
    expected = read_c3d(write_c3d(tmp_path / "a.c3d", found)).joints
    back = (found.pop("LPSI") + found.pop("RPSI")) / 2
    named = {f"Anna:{name}": value for name, value in {**found, "SACR": back}.items()}
    motion = read_c3d(write_c3d(tmp_path / "b.c3d", named))
    assert motion.skeleton.endswith("sacrum") and np.abs(motion.joints - expected).max() < 1e-4
    joints = {f"J{i}": z_up(walk(frames=101)[:, i]) for i in range(22)}
    mapped = JointMap(Path("my.toml"), {name: {f"J{i}": 1.0} for i, name in enumerate(JOINT_NAMES)})
    motion = read_c3d(write_c3d(tmp_path / "c.c3d", joints, rate=20.0), mapped)
    np.save(tmp_path / "c.npy", walk(frames=101))
    assert np.abs(motion.joints - read_joint_array(tmp_path / "c.npy").joints).max() < 1e-4


def test_short_gaps_are_bridged_and_unseen_ends_left_out(tmp_path: Path) -> None:
    expected = read_c3d(write_c3d(tmp_path / "a.c3d", markers())).joints
    found = {name: value.copy() for name, value in markers().items()}
    found["LKNE"][40:50] = np.nan
    motion = read_c3d(write_c3d(tmp_path / "b.c3d", found))
    assert np.abs(motion.joints - expected).max() < 0.1
    found["RTOE"][:30] = np.nan
    assert len(read_c3d(write_c3d(tmp_path / "c.c3d", found)).joints) == len(expected) - 6


def test_faults_are_named(tmp_path: Path) -> None:
    gap = {name: value.copy() for name, value in markers().items()}
    gap["LANK"][20:70] = np.nan
    never = {name: value.copy() for name, value in markers().items()}
    never["LANK"][:] = np.nan
    two = {f"{who}:{name}": value for who in ("A", "B") for name, value in markers().items()}
    few = {name: value for name, value in markers().items() if name != "LTOE"}
    for name, content, message in (
        ("gap", gap, "marker LANK is out of sight for 0.50 s"),
        ("never", never, "no frame shows all markers; LANK is seen in 0 of 101"),
        ("two", two, "same markers of 2 subjects"),
        ("few", few, r"no marker LTOE .*--joints: docs/formats.md"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_c3d(write_c3d(tmp_path / f"{name}.c3d", content))
        assert f"{name}.c3d" in str(caught.value)


def test_truncated_and_damaged_files_are_named_and_nothing_else_happens(tmp_path: Path) -> None:
    """ezc3d itself dies of some of these with a segmentation fault."""
    path = write_c3d(tmp_path / "a.c3d", markers())
    data = path.read_bytes()
    (tmp_path / "cut.c3d").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"truncated: \d+ of 101 frames are there"):
        read_c3d(tmp_path / "cut.c3d")
    assert fuzz(read_c3d, path, 200, head=2000) > 80


def as_integers(order: str, processor: int) -> bytes:
    """A small C3D file of 16-bit numbers in another byte order, with one marker and two frames."""
    parameters = struct.pack("4B", 1, 0x50, 1, processor)
    parameters += struct.pack("bb", 5, -1) + b"POINT" + struct.pack(f"{order}H", 3) + b"\0"
    label = struct.pack("bb", 6, 1) + b"LABELS"
    body = struct.pack("bBBB", -1, 2, 4, 1) + b"LASI" + b"\0"
    parameters += label + struct.pack(f"{order}H", len(body) + 2) + body + b"\0\0"
    scale = struct.pack(f"{order}f", 0.5)
    rate = struct.pack(f"{order}f", 50.0)
    if processor == 85:  # a DEC's words are swapped, and its numbers four times as large
        scale, rate = (struct.pack("<f", 4 * v) for v in (0.5, 50.0))
        scale, rate = scale[2:] + scale[:2], rate[2:] + rate[:2]
    header = struct.pack("BB", 2, 0x50) + struct.pack(f"{order}5H", 1, 0, 1, 2, 0)
    header += scale + struct.pack(f"{order}2H", 3, 0) + rate
    frames = struct.pack(f"{order}8h", 100, 200, -300, 0, 110, 210, -310, -1)
    return header.ljust(512, b"\0") + parameters.ljust(512, b"\0") + frames


@pytest.mark.parametrize("order, processor", [("<", 84), ("<", 85), (">", 86)])
def test_every_processor_and_integers_are_read(tmp_path: Path, order: str, processor: int) -> None:
    path = tmp_path / "a.c3d"
    path.write_bytes(as_integers(order, processor))
    points = read_points(path)
    assert points.names == ("LASI",) and points.rate == 50.0
    assert points.positions[0].tolist() == [[50.0, 100.0, -150.0]] and np.isnan(points.positions[1]).all()
