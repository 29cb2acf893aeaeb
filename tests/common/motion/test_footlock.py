"""Feet that slide are held, feet that stand are left alone, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from common.motion import footlock
from common.motion.footlock import contacts, lock_feet
from common.motion.population import BASIC_ACTIONS
from tests.common.motion.people import clean, jerk, lengths, skate

LEGS = [4, 5, 7, 8, 10, 11]


def sliding(action: str, speed: float = 0.4) -> NDArray[np.float32]:
    """Clean motions that drift sideways to and fro, feet and all, as a generator's root may."""
    motions = clean(action).copy()
    time = np.arange(motions.shape[1]) / 20.0
    motions[..., 0] += (speed / 3.0 * np.sin(3.0 * time))[:, None]
    return motions


def slip(motions: NDArray[np.float32]) -> float:
    """Mean speed of standing toes, m/s."""
    toes = motions[..., [10, 11], :].astype(np.float64)
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=-3), axis=-1) * 20
    low = toes[..., 1] < np.percentile(toes[..., 1], 2, axis=(-2, -1), keepdims=True) + 0.02
    return float(speed[low[..., 1:, :] & low[..., :-1, :] & (speed < 1.0)].mean())


@pytest.mark.parametrize("action", BASIC_ACTIONS)
def test_clean_motions_change_by_less_than_a_millimetre(action: str) -> None:
    motions = clean(action)
    assert np.linalg.norm(lock_feet(motions) - motions, axis=-1).mean() < 0.001


def holds(action: str) -> bool:
    """Whether sliding feet are held: skating and slip at most half, jerk as near to the real set's."""
    real, before = clean(action), sliding(action)
    after = lock_feet(before)
    steadier = skate(after) <= skate(before) / 2 and slip(after) < slip(before) / 2
    distance = [wasserstein_distance(jerk(m), jerk(real)) for m in (before, after)]
    return bool(steadier and distance[1] < distance[0] + 3.0)  # m/s^3; the real sets have 12 to 345


@pytest.mark.parametrize("action", BASIC_ACTIONS)
def test_sliding_feet_are_held(action: str) -> None:
    assert holds(action)


@pytest.mark.parametrize(
    ("name", "value"), [("_HEIGHT", (-1.0, -0.9)), ("_SPEED", (0.01, 0.02)), ("_PULL", 1e3)]
)
def test_control_a_lock_that_does_not_hold_is_noticed(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footlock, name, value)
    assert not holds("squat")


@pytest.mark.parametrize("action", ["walk", "run", "squat"])
def test_only_the_legs_move_and_bones_keep_their_lengths(action: str) -> None:
    before = sliding(action)
    after = lock_feet(before)
    others = [joint for joint in range(22) if joint not in LEGS]
    assert after.dtype == np.float32 and np.array_equal(after[..., others, :], before[..., others, :])
    assert np.abs(lengths(after) - lengths(before)).max() < 2e-6
    foot = [after[..., toe, :] - after[..., toe - 3, :] for toe in (10, 11)]
    assert np.allclose(foot, [before[..., toe, :] - before[..., toe - 3, :] for toe in (10, 11)], atol=1e-6)


def test_a_leg_never_reaches_further_than_its_bones() -> None:
    """The pelvis leaves a standing foot: the knee all but straightens, then the foot comes along."""
    motion = np.repeat(clean("squat")[:1, :1], 40, axis=1).astype(np.float64)
    motion[:, 15:, :, 2] += np.minimum(0.019 * np.arange(25), 0.4)[:, None]
    after = lock_feet(motion).astype(np.float64)
    bones = lengths(after)[0]
    reach = np.linalg.norm(after[0, :, 7] - after[0, :, 1], axis=-1)
    assert np.abs(lengths(after) - lengths(motion)).max() < 2e-6
    assert np.isfinite(after).all() and (reach < bones[:, 3] + bones[:, 6]).all()
    assert reach.max() / (bones[:, 3] + bones[:, 6]).max() > 0.999  # it was stretched to the full


def test_steps_at_landing_and_leaving_hardly_count() -> None:
    motion = np.repeat(clean("wave")[0, :1], 20, axis=0)
    motion[:8, 10, 1] += 0.1
    certain = contacts(motion)
    assert certain[9:, 0].min() > 0.99 and certain[8, 0] < 0.02 and certain[:7, 0].max() == 0
    assert certain[:, 1].min() > 0.99


def test_each_motion_follows_from_itself_alone() -> None:
    motions = np.concatenate([sliding("walk"), sliding("kick")])
    assert np.array_equal(lock_feet(motions), [lock_feet(motion) for motion in motions])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_motions_are_accepted(frames: int) -> None:
    motion = clean("walk")[0, :frames]
    assert np.allclose(lock_feet(motion), motion, atol=0.01)


def test_the_shift_is_the_minimum_of_what_it_says() -> None:
    """Against a dense least-squares solution of the objective in `_shift`."""
    rng = np.random.default_rng(0)
    toe = np.cumsum(rng.normal(0, 0.01, (30, 3)), axis=0)
    certain = rng.uniform(0, 1, 29)
    first, second = np.diff(np.eye(30), axis=0), np.diff(np.eye(30), n=2, axis=0)
    bend, pull = footlock._BEND**0.5, footlock._PULL**0.5
    rows = np.concatenate([certain[:, None] ** 0.5 * first, bend * second, pull * np.eye(30)])
    sides = np.zeros((len(rows), 2))
    sides[:29] = -(certain[:, None] ** 0.5) * np.diff(toe[:, [0, 2]], axis=0)
    wanted = np.linalg.lstsq(rows, sides, rcond=None)[0]
    assert np.allclose(footlock._shift(toe, certain)[:, [0, 2]], wanted, atol=1e-9)
