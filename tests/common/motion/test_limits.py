"""Knees and elbows stay within their range, and people's own motions stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.motion.bvh import read_bvh
from common.motion.limits import flexion, limit_flexion
from common.motion.population import BASIC_ACTIONS
from common.motion.skeleton import REFERENCE_BONES, REST_DIRECTIONS
from tests.common.motion.people import clean, lengths
from tests.common.motion.test_kinematics import rigid_motion


def standing() -> NDArray[np.float64]:
    """One frame `[1, 22, 3]`: upright, arms hanging."""
    pose = np.zeros((22, 3))
    parents = (0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
    for joint in range(1, 22):
        direction = REST_DIRECTIONS[joint]
        if joint in (16, 17):
            direction = np.array([1.0 if joint == 16 else -1.0, 0.0, 0.0])
        pose[joint] = pose[parents[joint]] + REFERENCE_BONES[joint] * direction
    return pose[None]


def bent(pose: NDArray[np.float64], pivot: int, tail: list[int], degrees: float) -> NDArray[np.float64]:
    """`tail` turned about the left-right axis through `pivot`; above 0 brings a hanging limb backward."""
    turn = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    result = pose.copy()
    result[:, tail] = (pose[:, tail] - pose[:, [pivot]]) @ turn.T + pose[:, [pivot]]
    return result


@pytest.mark.parametrize("degrees", [3.0, 40.0, 120.0, 155.0])
def test_a_bend_within_the_range_is_measured_and_left_alone(degrees: float) -> None:
    knee = bent(standing(), 5, [8, 11], degrees)
    elbow = bent(standing(), 18, [20], -degrees)
    assert flexion(knee)[0, 1] == pytest.approx(degrees)
    assert flexion(elbow)[0, 2] == pytest.approx(degrees)
    for pose in (knee, elbow):
        assert np.array_equal(limit_flexion(pose), pose.astype(np.float32))


def test_a_knee_bent_backward_is_mirrored_and_the_foot_stays() -> None:
    broken = bent(standing(), 4, [7, 10], -30.0)
    assert flexion(broken)[0, 0] == pytest.approx(-30.0)
    mended = limit_flexion(broken)
    assert flexion(mended)[0, 0] == pytest.approx(30.0, abs=1e-3)
    others = [joint for joint in range(22) if joint != 4]
    assert np.array_equal(mended[:, others], broken[:, others].astype(np.float32))
    assert np.allclose(lengths(mended), lengths(broken), atol=1e-6)


def test_what_bends_too_far_is_bent_back_with_what_hangs_on_it() -> None:
    for broken, column, sign in (
        (bent(standing(), 5, [8, 11], 172.0), 1, 160.0),
        (bent(standing(), 19, [21], -170.0), 3, 160.0),
        (bent(standing(), 18, [20], 35.0), 2, -10.0),
    ):
        mended = limit_flexion(broken)
        assert flexion(mended)[0, column] == pytest.approx(sign, abs=1e-3)
        assert np.allclose(lengths(mended), lengths(broken), atol=1e-6)
        assert np.linalg.norm(mended[:, 8] - mended[:, 11]) == pytest.approx(REFERENCE_BONES[11], abs=1e-6)


def test_a_raised_arm_may_bend_any_way() -> None:
    """The control of the elbow's rule: positions do not show how the upper arm is turned."""
    raised = bent(bent(standing(), 18, [20], 35.0), 16, [18, 20], -90.0)
    assert flexion(raised)[0, 2] == pytest.approx(35.0)
    assert np.array_equal(limit_flexion(raised), raised.astype(np.float32))


@pytest.mark.parametrize("action", BASIC_ACTIONS)
def test_people_are_within_the_range_and_untouched(action: str) -> None:
    motions = clean(action)
    assert flexion(motions).min() > -10 and flexion(motions)[..., :2].min() > 0
    assert np.array_equal(limit_flexion(motions), motions)


def test_recorded_people_are_all_but_untouched(motion_folder: Path) -> None:
    """Dance, climbing and jumps; the worst of these clips has one ankle that turns out far."""
    moved = []
    for name in ("05_03", "05_09", "01_11", "09_10"):
        joints = read_bvh(motion_folder / f"{name}.bvh.gz").joints
        moved.append(np.linalg.norm(limit_flexion(joints) - joints, axis=-1).mean())
    assert max(moved) < 0.0005


def test_anything_ends_within_the_range_and_each_from_itself_alone() -> None:
    rng = np.random.default_rng(3)
    wild = np.stack([rigid_motion(frames=40, seed=seed, swing=3.0) for seed in range(6)])
    wild += rng.normal(0, 0.02, wild.shape)
    assert flexion(wild).min() < -30 and flexion(wild).max() > 160  # it is broken before
    mended = limit_flexion(wild)
    angles = flexion(mended)
    assert angles[..., :2].min() > -1e-2 and angles[..., 2:].min() > -10.01 and angles.max() < 160.01
    assert np.allclose(lengths(mended), lengths(wild), atol=1e-6)
    assert np.array_equal(mended, [limit_flexion(motion) for motion in wild])
