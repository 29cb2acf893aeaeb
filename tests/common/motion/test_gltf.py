"""The .glb file keeps the rules of glTF 2.0 and plays the motion: joints and skin."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.gltf import to_glb, write_gltf
from common.motion.kinematics import project_bones
from common.motion.skeleton import JOINT_NAMES, PARENTS
from tests.common.motion.glb import Glb
from tests.common.motion.people import clean
from tests.common.motion.test_kinematics import rigid_motion

FRAMES = (0, 17, 40, 59)


@pytest.mark.parametrize("action", ["walk", "kick"])
def test_joints_play_as_they_were(action: str, tmp_path: Path) -> None:
    motion = clean(action)[0]
    write_gltf(tmp_path / "a.glb", motion)
    file = Glb((tmp_path / "a.glb").read_bytes())
    assert [node["name"] for node in file.document["nodes"][:22]] == list(JOINT_NAMES)
    assert np.allclose(file.times, np.arange(60) / 20, atol=1e-6)
    wanted = project_bones(motion)
    for frame in FRAMES:
        assert np.abs(file.joints(frame)[:, :3, 3] - wanted[frame]).max() < 1e-4


def test_the_skin_follows_the_joints() -> None:
    motion = project_bones(rigid_motion(60, swing=0.8))
    file = Glb(to_glb(motion, 20.0))
    for frame in FRAMES:
        points = file.skinned(frame)
        for joint in (4, 10, 15, 20):
            parent = motion[frame, PARENTS[joint]]
            bone = points[(joint - 1) * 24 : joint * 24]  # eight triangles a bone, joint by joint
            for end in (parent, motion[frame, joint]):
                assert np.linalg.norm(bone - end, axis=1).min() < 1e-4
            along = (bone - parent) @ (motion[frame, joint] - parent)
            assert along.min() > -1e-6
        wrist = points[-24:]
        assert np.abs(wrist.mean(axis=0) - motion[frame, 21]).max() < 1e-4
    bind = file.inverse @ np.append(np.zeros(3), 1.0)
    assert np.ptp(bind[:, 1]) > 1.2  # the rest pose stands upright


def test_bones_without_length_and_single_frames_are_accepted() -> None:
    motion = rigid_motion(1)
    motion[:, 15] = motion[:, 12]
    assert len(Glb(to_glb(motion, 20.0)).times) == 1


def test_a_note_stays_with_the_motion() -> None:
    noted = Glb(to_glb(rigid_motion(3), 20.0, note="no guarantee"))
    assert noted.document["asset"]["extras"] == {"note": "no guarantee"}
    assert "extras" not in Glb(to_glb(rigid_motion(3), 20.0)).document["asset"]


def test_a_motion_that_is_no_motion_is_refused(tmp_path: Path) -> None:
    motion = rigid_motion(3)
    motion[1, 2] = np.nan
    with pytest.raises(InputError, match=r"a\.glb"):
        write_gltf(tmp_path / "a.glb", motion)
    assert not (tmp_path / "a.glb").exists()


def repacked(data: bytes, old: str, new: str) -> bytes:
    """The same file with a change in its document."""
    length = struct.unpack_from("<I", data, 12)[0]
    text = data[20 : 20 + length].decode()
    assert old in text
    changed = json.dumps(json.loads(text.replace(old, new, 1)), separators=(",", ":")).encode()
    changed += b" " * (-len(changed) % 4)
    rest = data[20 + length :]
    header = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(changed) + len(rest), len(changed), b"JSON")
    return header + changed + rest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version":"2.0"', '"version":"1.0"'),
        ('"byteOffset":0', '"byteOffset":2'),
        ('"count":1392', '"count":1391'),
        ('"min":[', '"min":[0.5,'),
        ('"nodes":[0,22]', '"nodes":[0]'),
        ('"children":[1,2,3]', '"children":[1,2,3,3]'),
        ('"target":34962', '"target":34963'),
    ],
)
def test_control_a_broken_rule_is_noticed(old: str, new: str) -> None:
    data = to_glb(clean("walk")[0], 20.0)
    Glb(repacked(data, old, old))
    with pytest.raises((AssertionError, ValueError)):
        Glb(repacked(data, old, new))


def test_control_a_skin_that_is_not_bound_is_noticed() -> None:
    motion = project_bones(rigid_motion(60, swing=0.8))
    file = Glb(to_glb(motion, 20.0))
    file.inverse = np.tile(np.eye(4), (22, 1, 1))
    wrist = file.skinned(17)[-24:].mean(axis=0)
    assert np.abs(wrist - motion[17, 21]).max() > 0.1
