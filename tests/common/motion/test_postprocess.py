"""What generated motions go through before anybody sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pybvh

from common.motion.bvh import write_bvh
from common.motion.kinematics import joint_rotations
from common.motion.limits import flexion
from common.motion.postprocess import postprocess
from common.motion.skeleton import JOINT_NAMES
from tests.common.motion.people import clean, lengths, skate


def drawn(action: str) -> np.ndarray:
    """Motions with a generator's faults: bones that breathe, joints that shiver, feet that slide."""
    motions = clean(action).astype(np.float64)
    rng = np.random.default_rng(5)
    phase = rng.uniform(0, 6, (len(motions), 1, 22, 3))
    waves = 0.008 * np.sin(np.linspace(0, 9, motions.shape[1])[None, :, None, None] + phase)
    motions += waves - waves[:, :1]
    motions[..., 2] += (0.13 * np.sin(np.arange(motions.shape[1]) * 0.15))[:, None]
    return motions


def test_bones_joints_and_feet_are_mended() -> None:
    for action in ("walk", "squat", "kick"):
        before = drawn(action)
        after = postprocess(before)
        assert after.dtype == np.float32 and after.shape == before.shape
        spread = [lengths(m).std(axis=1).mean() for m in (before, after)]
        assert spread[0] > 1e-3 and spread[1] < 1e-6
        angles = flexion(after)
        assert angles.min() > -10.01 and angles[..., :2].min() > -0.05 and angles.max() < 160.01
        assert skate(after) < 0.6 * skate(before)
        assert np.linalg.norm(after - before, axis=-1).mean() < 0.05


def test_people_stay_as_they_are() -> None:
    for action in ("walk", "jump", "wave"):
        motions = clean(action)
        assert np.linalg.norm(postprocess(motions) - motions, axis=-1).mean() < 0.001


def test_each_motion_follows_from_itself_alone() -> None:
    motions = np.concatenate([drawn("walk"), drawn("squat")])
    assert np.array_equal(postprocess(motions), [postprocess(motion) for motion in motions])


def test_a_hierarchy_of_rotations_holds_it_whole(tmp_path: Path) -> None:
    """Unlike the generator's own output: a BVH file plays exactly what was post-processed."""
    motion = postprocess(drawn("walk"))[0]
    write_bvh(tmp_path / "a.bvh", motion)
    file = pybvh.read_bvh_file(tmp_path / "a.bvh", world_up="+y")
    names = [node.name for node in file.nodes]
    played = file.node_positions()[:, [names.index(name) for name in JOINT_NAMES]]
    assert np.abs(played - motion).max() < 1e-4
    rotations = joint_rotations(motion)[1]
    turn = np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:]
    cosine = (np.trace(turn, axis1=-2, axis2=-1) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 60
