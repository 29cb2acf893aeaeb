from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.motion.kinematics import (
    POSE_DIRECTIONS,
    bone_lengths,
    forward,
    joint_rotations,
    place,
    project_bones,
)
from common.motion.skeleton import JOINTS, PARENTS, REFERENCE_BONES


def rigid_motion(frames: int = 50, seed: int = 0, swing: float = 0.5) -> np.ndarray:
    """A smooth random motion of the reference skeleton with exactly constant bones."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, frames)[:, None, None]
    angles = swing * np.sin(time * rng.integers(1, 3, (1, JOINTS, 3)) + rng.uniform(0, 6, (1, JOINTS, 3)))
    rotations = Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix().reshape(frames, JOINTS, 3, 3)
    root = np.stack([np.zeros(frames), np.full(frames, 0.95), np.linspace(0, 2, frames)], axis=1)
    return forward(REFERENCE_BONES[:, None] * POSE_DIRECTIONS, rotations, root)


def angle_steps(rotations: np.ndarray) -> np.ndarray:
    relative = np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:]
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_rotations_of_a_rigid_motion_give_its_positions_back() -> None:
    joints = rigid_motion()
    offsets, rotations, root = joint_rotations(joints)
    assert np.allclose(forward(offsets, rotations, root), joints, atol=1e-9)
    assert np.allclose(rotations @ np.swapaxes(rotations, -1, -2), np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(rotations), 1.0)
    assert np.allclose(np.linalg.norm(offsets, axis=1), REFERENCE_BONES, atol=1e-9)


def test_the_rest_pose_has_identity_rotations() -> None:
    pose = forward(
        REFERENCE_BONES[:, None] * POSE_DIRECTIONS, np.tile(np.eye(3), (2, JOINTS, 1, 1)), np.zeros(3)
    )
    assert np.allclose(joint_rotations(pose)[1], np.eye(3), atol=1e-9)


@pytest.mark.parametrize("rigid", [True, False])
def test_projected_bones_are_constant_and_stay_near(rigid: bool) -> None:
    noisy = rigid_motion() + np.random.default_rng(1).normal(0, 0.01, (50, JOINTS, 3))
    result = project_bones(noisy, rigid=rigid)
    lengths = np.linalg.norm(result[:, 1:] - result[:, PARENTS[1:]], axis=-1)
    assert result.dtype == np.float32
    assert lengths.std(axis=0).max() < 1e-6
    assert np.linalg.norm(result - noisy, axis=-1).mean() < 0.03
    assert np.allclose(result[:, 0], noisy[:, 0], atol=1e-6)
    assert np.allclose(project_bones(result, rigid=rigid), result, atol=1e-5)


@pytest.mark.parametrize("rigid", [True, False])
def test_many_motions_at_once_are_each_as_by_itself(rigid: bool) -> None:
    """To the bit: a generated motion must not depend on how many are drawn with it."""
    rng = np.random.default_rng(2)
    wild = rng.normal(0, 0.3, (4, 50, JOINTS, 3)).cumsum(axis=1)  # arms go through the half turn
    motions = np.concatenate([wild, [rigid_motion(seed=seed) for seed in range(4)]])
    together = project_bones(motions, rigid=rigid)
    assert np.array_equal(together, [project_bones(motion, rigid=rigid) for motion in motions])
    assert np.array_equal(bone_lengths(motions, symmetric=True)[1], bone_lengths(motions[1], symmetric=True))
    parts = zip(*(joint_rotations(motion) for motion in motions), strict=True)
    assert all(np.array_equal(a, b) for a, b in zip(joint_rotations(motions), parts, strict=True))


def test_projection_onto_given_lengths_keeps_directions() -> None:
    joints = rigid_motion()
    result = project_bones(joints, 1.1 * REFERENCE_BONES)
    assert np.allclose(result - result[:, :1], 1.1 * (joints - joints[:, :1]), atol=1e-5)


def test_symmetric_lengths_are_the_same_on_both_sides() -> None:
    lengths = bone_lengths(rigid_motion(), symmetric=True)
    assert lengths[4] == lengths[5] == pytest.approx((REFERENCE_BONES[4] + REFERENCE_BONES[5]) / 2)


def test_an_arm_swung_full_circle_never_flips() -> None:
    joints = rigid_motion(frames=120, swing=0.0)
    angle = np.linspace(0, 2 * np.pi, 120)
    for parent, child in ((16, 18), (18, 20)):
        # Straight through the direction opposite to the rest pose, where the shortest arc is undefined.
        swing = np.stack([np.cos(angle), np.sin(angle), np.zeros(120)], axis=1)
        joints[:, child] = joints[:, parent] + REFERENCE_BONES[child] * swing
    offsets, rotations, root = joint_rotations(joints)
    assert angle_steps(rotations).max() < 10
    assert np.allclose(forward(offsets, rotations, root), joints, atol=1e-9)


def test_bones_without_length_are_accepted() -> None:
    joints = rigid_motion(frames=4)
    joints[:, 15] = joints[:, 12]
    assert np.isfinite(project_bones(joints)).all()
    assert np.isfinite(project_bones(np.zeros((3, JOINTS, 3)))).all()


def test_wrong_shapes_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected joints"):
        joint_rotations(np.zeros((3, 21, 3)))
    with pytest.raises(ValueError, match="bone lengths"):
        project_bones(rigid_motion(frames=2), np.full(JOINTS, np.nan))


def test_place_stands_a_motion_on_the_floor_facing_forward() -> None:
    joints = rigid_motion()
    turned = joints @ Rotation.from_euler("y", 130, degrees=True).as_matrix().T + [3.0, -2.0, 1.0]
    for motion in (place(joints), place(turned)):
        across = motion[0, 2] - motion[0, 1] + motion[0, 17] - motion[0, 16]
        assert motion[..., 1].min() == pytest.approx(0)
        assert np.allclose(motion[0, 0, [0, 2]], 0)
        assert across[0] < 0 and across[2] == pytest.approx(0, abs=1e-9)
    assert np.allclose(place(joints), place(turned), atol=1e-9)
