"""The 263-d vector is HumanML3D's, and gives its motion back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from common.motion.bvh import read_bvh
from common.motion.features import to_features
from common.motion.humanml3d import (
    CONTACTS,
    LOCAL,
    ROTATIONS,
    STEPS,
    from_humanml3d,
    from_rotations,
    stand,
    to_humanml3d,
)
from common.motion.skeleton import FEET, REFERENCE_BONES, REST_DIRECTIONS
from tests.common.motion.people import clean, lengths
from tests.common.motion.test_kinematics import rigid_motion

COMPAT = pytest.mark.parametrize("hml_compat", [False, True])


def about_up(yaw: ArrayLike) -> NDArray[np.float64]:
    """Matrices `[..., 3, 3]` of turns about the vertical, rad."""
    turns = np.asarray(yaw, np.float64)[..., None] * np.array([0.0, 1.0, 0.0])
    return np.asarray(Rotation.from_rotvec(turns).as_matrix(), np.float64)


def turning(frames: int = 80) -> NDArray[np.float64]:
    """A rigid motion that turns by 150 degrees, started somewhere, facing anywhere."""
    yaw = about_up(np.linspace(0.7, 0.7 + np.radians(150), frames))
    turned = np.einsum("tij,tkj->tki", yaw, rigid_motion(frames)) + np.array([3.0, -0.4, 1.0])
    return np.asarray(turned, np.float64)


@COMPAT
@pytest.mark.parametrize("action", ["walk", "kick"])
def test_positions_come_back(action: str, hml_compat: bool) -> None:
    for motions in (clean(action), turning()):
        vectors = to_humanml3d(motions, hml_compat=hml_compat)
        placed = stand(motions, hml_compat=hml_compat)
        back = from_humanml3d(vectors)
        assert vectors.dtype == back.dtype == np.float32 and vectors.shape[-1] == 263
        assert np.abs(back - placed[..., :-1, :, :]).max() < 1e-5
        assert np.abs(from_rotations(vectors) - placed[..., :-1, :, :]).max() < 1e-5


@COMPAT
def test_standing_is_one_turn_and_shift(hml_compat: bool) -> None:
    motion = turning()
    placed = stand(motion, hml_compat=hml_compat).astype(np.float64)
    assert placed[..., 1].min() == pytest.approx(0, abs=1e-6) and np.allclose(placed[0, 0, [0, 2]], 0)
    plane = [0, 2]
    before = motion[..., plane] - motion[:1, :1, plane]
    after = placed[..., plane]
    a = before[..., 0] + 1j * before[..., 1]
    b = after[..., 0] + 1j * after[..., 1]
    turn = np.vdot(a, b) / np.vdot(a, a)
    assert abs(turn) == pytest.approx(1, abs=1e-6) and np.abs(turn * a - b).max() < 1e-5
    assert np.abs((motion - placed)[..., 1] - (motion - placed)[0, 0, 1]).max() < 1e-5


def test_a_real_recording_comes_back(motion_folder: Path) -> None:
    joints = read_bvh(motion_folder / "05_03.bvh.gz").joints
    for hml_compat in (False, True):
        vectors = to_humanml3d(joints, hml_compat=hml_compat)
        placed = stand(joints, hml_compat=hml_compat)[:-1]
        assert np.abs(from_humanml3d(vectors) - placed).max() < 1e-5
        assert np.abs(from_rotations(vectors) - placed).max() < 1e-5


def test_rotations_cannot_hold_bones_that_change() -> None:
    """The control of the two tests above: the rotations do carry the pose by themselves."""
    motion = turning()
    motion[40:, 20] += 0.1 * (motion[40:, 20] - motion[40:, 18])
    vectors = to_humanml3d(motion)
    placed = stand(motion)[:-1]
    assert np.abs(from_humanml3d(vectors) - placed).max() < 1e-5
    assert np.abs(from_rotations(vectors) - placed).max() > 0.01
    vectors[..., ROTATIONS] = to_humanml3d(rigid_motion(80, seed=5))[..., ROTATIONS]
    assert np.abs(from_rotations(vectors) - placed).max() > 0.1


def test_the_first_columns_are_the_67_of_the_default() -> None:
    for motion in (clean("run"), turning()[None]):
        ours = to_features(torch.from_numpy(stand(motion))).numpy()
        assert np.allclose(to_humanml3d(motion)[..., :67], ours, atol=1e-6)


def test_turning_is_stored_as_half_the_angle_against_the_body() -> None:
    pose = rigid_motion(1, swing=0.0)[0]
    yaw = np.radians(np.concatenate([np.zeros(100), np.arange(200) * 2.0, np.full(100, 398.0)]))
    vectors = to_humanml3d(np.einsum("tij,kj->tki", about_up(yaw), pose))
    assert vectors[199, 0] == pytest.approx(-np.radians(2.0) / 2, rel=0.01)
    assert vectors[:, 0].sum() == pytest.approx(-np.radians(398.0) / 2, rel=0.01)
    assert np.abs(vectors[:10, 0]).max() < 1e-6


def test_contacts_are_steps_under_four_and_a_half_centimetres() -> None:
    motion = rigid_motion(4, swing=0.0)
    motion[:] = motion[:1]
    motion[1:, FEET[1]] += [0.0447, 0.0, 0.0]
    motion[1:, FEET[2]] += [0.0448, 0.0, 0.0]
    motion[2:, FEET[0]] += [0.0, 0.5, 0.0]
    assert to_humanml3d(motion)[:, CONTACTS].tolist() == [[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]


def test_rotations_are_columns_from_the_heading_down_each_chain() -> None:
    motion = turning()
    vectors, placed = to_humanml3d(motion), stand(motion).astype(np.float64)
    t = 30
    yaw = -2 * vectors[:t, 0].astype(np.float64).sum()
    columns = vectors[t, ROTATIONS].reshape(21, 2, 3).astype(np.float64)
    matrices = np.stack([columns[:, 0], columns[:, 1], np.cross(columns[:, 0], columns[:, 1])], axis=-1)
    for chain in ([0, 2, 5, 8, 11], [0, 3, 6, 9, 12, 15], [9, 13, 16, 18, 20]):
        world = about_up(-yaw)  # the arms' too
        for parent, child in pairwise(chain):
            world = world @ matrices[child - 1]
            bone = placed[t, child] - placed[t, parent]
            assert np.allclose(world @ REST_DIRECTIONS[child], bone / np.linalg.norm(bone), atol=1e-5)


def test_steps_are_in_the_heading_frame() -> None:
    motion = turning()
    vectors, placed = to_humanml3d(motion), stand(motion).astype(np.float64)
    yaw = -2 * np.concatenate([[0.0], vectors[:-1, 0].astype(np.float64).cumsum()])
    back = about_up(yaw)
    steps = np.einsum("tij,tkj->tki", back, vectors[:, STEPS].reshape(-1, 22, 3))
    assert np.allclose(steps, np.diff(placed, axis=0), atol=1e-5)
    assert np.allclose(
        vectors[:-1, 1:3], np.einsum("tji,tj->ti", back[1:], steps[:-1, 0])[:, [0, 2]], atol=1e-5
    )


def test_the_public_codes_quirks_are_what_the_switch_switches() -> None:
    """A trunk twisted against the hips shows the swapped hips; the first frame's heading is overwritten."""
    pose = rigid_motion(1, swing=0.0)[0]
    twist = about_up(np.radians(40))
    pose[9:] = (pose[9:] - pose[9]) @ twist.T + pose[9]
    motion = np.repeat(pose[None], 30, axis=0)
    hips, shoulders = pose[2] - pose[1], pose[17] - pose[16]
    right, swapped = hips + shoulders, shoulders - hips
    angle = np.arctan2(right[0] * swapped[2] - right[2] * swapped[0], right @ swapped)
    assert abs(angle) > 0.1
    assert np.abs(to_humanml3d(motion)[:, 0]).max() < 1e-6
    compat = to_humanml3d(motion, hml_compat=True)
    assert abs(compat[0, 0]) == pytest.approx(abs(angle) / 2, rel=1e-3) and np.abs(compat[1:, 0]).max() < 1e-6
    assert np.allclose(compat[0, LOCAL], to_humanml3d(motion)[0, LOCAL], atol=1e-6)
    gap = np.linalg.norm((compat - to_humanml3d(motion))[5, LOCAL].reshape(21, 3), axis=1)
    assert gap.max() > 0.05
    level = clean("walk")[0]  # hips and shoulders alike: the quirk is millimetres
    other = (to_humanml3d(level) - to_humanml3d(level, hml_compat=True))[1:, LOCAL]
    assert 0 < np.abs(other).mean() < 0.02


def test_a_uniform_skeleton_takes_size_out() -> None:
    small, tall = clean("walk")[0], 1.2 * clean("walk")[0]
    ours = to_humanml3d(tall, lengths=REFERENCE_BONES)
    assert np.allclose(ours, to_humanml3d(small, lengths=REFERENCE_BONES), atol=1e-5)
    assert np.allclose(lengths(from_humanml3d(ours)), REFERENCE_BONES[1:], atol=1e-5)
    legs = lengths(small)[0][[4, 7]].sum()
    walked = np.linalg.norm(np.diff(from_humanml3d(ours)[:, 0], axis=0), axis=-1).sum()
    own = np.linalg.norm(np.diff(small[:-1, 0], axis=0), axis=-1).sum()
    assert walked / own == pytest.approx(REFERENCE_BONES[[5, 8]].sum() / legs, rel=1e-3)
    assert not np.allclose(to_humanml3d(tall), to_humanml3d(small), atol=1e-2)


def test_each_motion_follows_from_itself_alone() -> None:
    motions = clean("run")
    for hml_compat in (False, True):
        together = to_humanml3d(motions, hml_compat=hml_compat)
        assert np.array_equal(together[3], to_humanml3d(motions[3], hml_compat=hml_compat))
        assert np.array_equal(from_rotations(together)[3], from_rotations(together[3]))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected joints"):
        to_humanml3d(np.zeros((1, 22, 3)))
    with pytest.raises(ValueError, match="expected vectors"):
        from_humanml3d(np.zeros((5, 262)))
