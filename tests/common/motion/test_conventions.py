"""Skeletons under other names, and under names that only their owner knows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.bvh import joint_names, read_bvh, write_bvh
from common.motion.conventions import CONVENTIONS, convention, missing_joints
from common.motion.intake import leading_t_pose
from common.motion.joint_map import read_joint_map
from common.motion.skeleton import JOINT_NAMES
from tests.common.motion.files import fuzz, walk, write_walk_bvh


def sided(middle: dict[str, str], sides: dict[str, str]) -> dict[str, str]:
    """Our names to theirs; `{side}`, `{s}` and `{S}` are the side, its letter and its capital."""
    names = dict(middle)
    for side in ("left", "right"):
        for ours, theirs in sides.items():
            names[f"{side}_{ours}"] = theirs.format(side=side.capitalize(), s=side[0], S=side[0].upper())
    return names


MAYA = {"hip": "{side}UpLeg", "knee": "{side}Leg", "ankle": "{side}Foot", "foot": "{side}ToeBase",
        "collar": "{side}Shoulder", "shoulder": "{side}Arm", "elbow": "{side}ForeArm",
        "wrist": "{side}Hand"}  # fmt: skip
SKELETONS: dict[str, dict[str, str]] = {
    "Mixamo": sided({"pelvis": "mixamorig:Hips", "spine1": "mixamorig:Spine", "spine2": "mixamorig:Spine1",
                     "spine3": "mixamorig:Spine2", "neck": "mixamorig:Neck", "head": "mixamorig:Head"},
                    {ours: f"mixamorig:{theirs}" for ours, theirs in MAYA.items()}),
    "MotionBuilder, two spine joints": sided(
        {"pelvis": "Hips", "spine1": "Spine", "spine2": "Other", "spine3": "Spine1", "neck": "Neck",
         "head": "Head"}, MAYA),
    "DAZ and Poser": sided(
        {"pelvis": "hip", "spine1": "abdomen", "spine2": "Other", "spine3": "chest", "neck": "neck",
         "head": "head"},
        {"hip": "{s}Thigh", "knee": "{s}Shin", "ankle": "{s}Foot", "foot": "{s}Toe", "collar": "{s}Collar",
         "shoulder": "{s}Shldr", "elbow": "{s}ForeArm", "wrist": "{s}Hand"}),
    "DAZ Genesis": sided(
        {"pelvis": "pelvis", "spine1": "abdomenLower", "spine2": "abdomenUpper", "spine3": "chestLower",
         "neck": "neckLower", "head": "head"},
        {"hip": "{s}ThighBend", "knee": "{s}Shin", "ankle": "{s}Foot", "foot": "{s}Toe",
         "collar": "{s}Collar", "shoulder": "{s}ShldrBend", "elbow": "{s}ForearmBend", "wrist": "{s}Hand"}),
    "3ds Max Biped": sided(
        {"pelvis": "Bip01 Pelvis", "spine1": "Bip01 Spine", "spine2": "Other", "spine3": "Bip01 Spine2",
         "neck": "Bip01 Neck", "head": "Bip01 Head"},
        {"hip": "Bip01 {S} Thigh", "knee": "Bip01 {S} Calf", "ankle": "Bip01 {S} Foot",
         "foot": "Bip01 {S} Toe0", "collar": "Bip01 {S} Clavicle", "shoulder": "Bip01 {S} UpperArm",
         "elbow": "Bip01 {S} Forearm", "wrist": "Bip01 {S} Hand"}),
    "Unreal": sided(
        {"pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03",
         "neck": "neck_01", "head": "head"},
        {"hip": "thigh_{s}", "knee": "calf_{s}", "ankle": "foot_{s}", "foot": "ball_{s}",
         "collar": "clavicle_{s}", "shoulder": "upperarm_{s}", "elbow": "lowerarm_{s}", "wrist": "hand_{s}"}),
    "Unity": sided(
        {"pelvis": "Hips", "spine1": "Spine", "spine2": "Other", "spine3": "Chest", "neck": "Neck",
         "head": "Head"},
        {"hip": "UpperLeg_{S}", "knee": "LowerLeg_{S}", "ankle": "Foot_{S}", "foot": "Toes_{S}",
         "collar": "Shoulder_{S}", "shoulder": "UpperArm_{S}", "elbow": "LowerArm_{S}", "wrist": "Hand_{S}"}),
    "SMPL": sided({n: n.capitalize() for n in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")},
                  {n: "{S}_" + n.capitalize() for n in MAYA}),
    "SMPL, as simulators name it": sided(
        {"pelvis": "Pelvis", "spine1": "Torso", "spine2": "Spine", "spine3": "Chest", "neck": "Neck",
         "head": "Head"},
        {**{n: "{S}_" + n.capitalize() for n in MAYA}, "foot": "{S}_Toe", "collar": "{S}_Thorax"}),
}  # fmt: skip


def renamed(path: Path, names: dict[str, str]) -> Path:
    text = path.read_text()
    for ours, theirs in names.items():
        text = re.sub(rf"(ROOT|JOINT) {ours}$", rf"\1 {theirs}", text, flags=re.MULTILINE)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", SKELETONS)
def test_a_skeleton_is_known_by_its_names(tmp_path: Path, name: str) -> None:
    path = write_walk_bvh(tmp_path / "a.bvh")
    expected = read_bvh(path).joints
    motion = read_bvh(renamed(path, SKELETONS[name]))
    assert motion.skeleton == name == convention(motion.names)
    others = [i for i, joint in enumerate(JOINT_NAMES) if SKELETONS[name][joint] != "Other"]
    assert np.allclose(motion.joints[:, others], expected[:, others], atol=5e-3)
    assert np.abs(motion.joints - expected).max() < 0.06  # a joint between two others lies between them


def test_every_table_but_those_of_cmu_and_xsens_is_tried_above() -> None:
    """Those two are tried on real files and in test_bvh.py."""
    assert SKELETONS.keys() | {"fedmotion", "CMU", "Xsens"} == CONVENTIONS.keys()
    assert missing_joints(JOINT_NAMES) == [] and "left_knee" in missing_joints(["hip"])


def write_map(path: Path, changes: dict[str, str] | None = None) -> Path:
    lines = {name: f'"Bone_{i}"' for i, name in enumerate(JOINT_NAMES)} | (changes or {})
    path.write_text("\n".join(f"{name} = {value}" for name, value in lines.items() if value) + "\n")
    return path


def test_a_map_of_ones_own_gives_the_same_motion(tmp_path: Path) -> None:
    path = write_walk_bvh(tmp_path / "a.bvh")
    expected = read_bvh(path).joints
    renamed(path, {name: f"Bone_{i}" for i, name in enumerate(JOINT_NAMES)})
    with pytest.raises(InputError, match=r"map them yourself in a joints.toml .*--joints: docs/formats.md"):
        read_bvh(path)
    motion = read_bvh(path, read_joint_map(write_map(tmp_path / "joints.toml")))
    assert motion.skeleton == "joints.toml" and np.allclose(motion.joints, expected, atol=1e-6)
    mix = {"spine2": "{ Bone_3 = 0.5, Bone_9 = 0.5 }", "head": '"namespace:bone 15"'}
    mixed = read_bvh(path, read_joint_map(write_map(tmp_path / "mix.toml", mix))).joints
    assert 0.001 < np.abs(mixed[:, 6] - expected[:, 6]).max() < 0.06
    assert np.allclose(mixed[:, 15], expected[:, 15], atol=1e-6)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"left_collar": "", "head": ""}, "nothing for left_collar, head; write one line a joint, left_knee"),
        ({"tail": '"Tail"'}, "tail is none of our joints, pelvis, left_hip"),
        ({"head": "{ Bone_1 = 0.5 }"}, "head: a joint is a name, or a table of names .* add up to 1"),
        ({"head": "{ Bone_1 = nan, Bone_2 = 1 }"}, "weights that add up to 1"),
        ({"head": "7"}, "head: a joint is a name"),
        ({"head": '"Bone_1'}, "not a readable TOML file"),
    ],
)  # fmt: skip
def test_a_faulty_map_says_how_to_write_it(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    path = write_map(tmp_path / "joints.toml", changes)
    with pytest.raises(InputError, match=message) as caught:
        read_joint_map(path)
    assert "joints.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_map_that_names_what_a_file_has_not_names_both(tmp_path: Path) -> None:
    path = write_walk_bvh(tmp_path / "a.bvh")
    with pytest.raises(InputError, match=r"a\.bvh: joints.toml names Bone_0, Bone_1, .*; it has pelvis"):
        read_bvh(path, read_joint_map(write_map(tmp_path / "joints.toml")))


def t_pose() -> np.ndarray:
    joints = np.zeros((22, 3))
    for side, sign in ((0, 1.0), (1, -1.0)):
        for ours, (x, y) in {1: (0.1, 0.9), 4: (0.1, 0.5), 7: (0.1, 0.1), 10: (0.1, 0.05), 13: (0.05, 1.4),
                             16: (0.2, 1.4), 18: (0.45, 1.4), 20: (0.7, 1.4)}.items():  # fmt: skip
            joints[ours + side] = (sign * x, y, 0.1 if ours == 10 else 0.0)
    for ours, y in {0: 0.95, 3: 1.05, 6: 1.2, 9: 1.3, 12: 1.45, 15: 1.6}.items():
        joints[ours] = (0.0, y, 0.0)
    return joints


def test_a_first_frame_in_a_t_pose_is_dropped_even_if_its_angles_are_not_zero(tmp_path: Path) -> None:
    write_bvh(tmp_path / "a.bvh", np.concatenate([t_pose()[None], walk()]))
    write_bvh(tmp_path / "b.bvh", walk())
    with_pose, without = read_bvh(tmp_path / "a.bvh").joints, read_bvh(tmp_path / "b.bvh").joints
    assert len(with_pose) == len(without) == 61


def test_a_t_pose_that_the_person_takes_stays() -> None:
    assert leading_t_pose(np.concatenate([t_pose()[None], walk()])) == 1
    arms_up = np.linspace(0, 1, 40)[:, None, None] * (walk()[0] - t_pose()) + t_pose()
    assert leading_t_pose(arms_up) == 0 and leading_t_pose(walk()) == 0


def test_damaged_files_are_named_and_nothing_else_happens(tmp_path: Path) -> None:
    write_bvh(tmp_path / "a.bvh", walk(frames=10))
    assert fuzz(read_bvh, tmp_path / "a.bvh", 60) > 30
    fuzz(joint_names, tmp_path / "a.bvh", 60)
