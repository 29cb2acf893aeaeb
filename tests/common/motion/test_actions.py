"""What each action does: heights, hands, headings, and feet that stay where they stand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from common.motion.people import ACTIONS
from common.motion.population import PRIVATE_ALL, PUBLIC_ALL, ground_truth, performances
from common.motion.skeleton import FRAME_RATE

Floats = NDArray[np.float64]
PEOPLE = 80
BODIES = ground_truth(PRIVATE_ALL, 4, range(PEOPLE))


@cache
def made(action: str, turning: float = 0.5, rate: float = FRAME_RATE) -> tuple[Floats, dict[str, Floats]]:
    """Joints `[PEOPLE, frames, 22, 3]` of one motion each over three seconds, and what is true of them."""
    population = replace(PRIVATE_ALL, actions=(action,), turning=turning)
    found = list(performances(population, 4, range(PEOPLE), 1, round(3 * rate) + 1, rate))
    facts = {name: np.array([own[name] for _, own in found]) for name in found[0][1]}
    return np.array([recording.samples for recording, _ in found], dtype=np.float64), facts


def heading(motion: Floats) -> Floats:
    """Unwrapped heading of the hips in degrees, left positive, `[B, T]`."""
    across = motion[:, :, 1] - motion[:, :, 2]
    return np.asarray(np.rad2deg(np.unwrap(np.arctan2(-across[..., 2], across[..., 0]), axis=1)))


def slip(motion: Floats) -> tuple[float, float]:
    """Median slip of low toes in metres a frame, and the share of (frame, foot) that skates at 0.3 m/s."""
    toes = motion[:, :, [10, 11]]
    low = toes[..., 1] < np.percentile(toes[..., 1], 2, axis=1)[:, None] + 0.02
    step = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=1), axis=-1)
    planted = low[:, 1:] & low[:, :-1]
    return float(np.median(step[planted])), float((planted & (step * FRAME_RATE > 0.3)).mean())


@pytest.mark.parametrize("action", ACTIONS)
def test_planted_feet_stay_where_they_are(action: str) -> None:
    median, skating = slip(made(action)[0])
    assert median < 0.002
    assert skating < 0.055


def test_a_body_that_is_drawn_along_fails_that_test() -> None:
    motion = made("walk")[0].copy()
    motion[..., 2] += 0.02 * np.arange(motion.shape[1])[:, None]
    median, skating = slip(motion)
    assert median > 0.002 and skating > 0.055


def test_sitting_down_ends_on_a_seat_and_standing_up_begins_there() -> None:
    for action, seat, upright in (("sit", -1, 0), ("stand", 0, -1)):
        motion = made(action)[0]
        np.testing.assert_allclose(motion[:, seat, 0, 1], 0.30 * BODIES.stature, atol=0.03)
        knees = motion[:, seat, [4, 5], 1].mean(axis=1)
        assert np.abs(knees - motion[:, seat, 0, 1]).max() < 0.12, "thighs are about level"
        assert (motion[:, upright, 0, 1] > 0.49 * BODIES.stature).all()
        trunk = motion[:, :, 12] - motion[:, :, 0]
        lean = np.rad2deg(np.arctan2(np.linalg.norm(trunk[..., [0, 2]], axis=-1), trunk[..., 1]))
        assert 18 < np.median(lean.max(axis=1)) < 45
        hands = motion[:, seat, [20, 21]]
        thighs = (motion[:, seat, [1, 2]] + motion[:, seat, [4, 5]]) / 2
        assert np.linalg.norm(hands - thighs, axis=-1).max() < 0.30
    still = made("seated")[0]
    assert np.ptp(still[:, :, 0], axis=1).max() < 0.01


def test_turns_reach_their_angle_by_steps_with_the_head_first() -> None:
    motion, facts = made("turn", rate=60.0)
    turned = heading(motion)
    np.testing.assert_allclose(turned[:, -1] - turned[:, 0], facts["turned"], atol=6)
    assert {round(abs(angle) / 90) for angle in facts["turned"]} == {1, 2}
    assert 20 < (facts["turned"] > 0).sum() < 60
    raised = (motion[:, :, [10, 11], 1] > 0.035).any(axis=1)
    assert raised.all(), "both feet are lifted"
    assert (np.linalg.norm(motion[:, -1, 0, [0, 2]], axis=-1) < 0.1).all(), "on the spot"
    across = motion[:, :, 16] - motion[:, :, 17]
    shoulders = np.rad2deg(np.unwrap(np.arctan2(-across[..., 2], across[..., 0]), axis=1))
    half = [np.abs(way - way[:, :1]) > np.abs(facts["turned"])[:, None] / 2 for way in (shoulders, turned)]
    assert (half[0].argmax(axis=1) < half[1].argmax(axis=1)).mean() > 0.95, "the pelvis follows"


@pytest.mark.parametrize(
    ("action", "left", "right"), [("punch", 20, 21), ("reach", 20, 21), ("pick_up", 20, 21)]
)
def test_the_hand_that_acts_is_the_persons(action: str, left: int, right: int) -> None:
    motion, facts = made(action)
    way = [np.linalg.norm(np.diff(motion[:, :, hand], axis=1), axis=-1).sum(axis=1) for hand in (left, right)]
    assert ((way[0] > way[1]) == BODIES.left).all()
    assert ((facts["hand"] > 0) == BODIES.left).all()


def test_hands_get_there_at_the_speed_of_people() -> None:
    for action, low, high in (("punch", 3.0, 7.0), ("reach", 0.6, 2.0), ("pick_up", 0.8, 2.5)):
        motion = made(action, rate=60.0)[0]
        hand = motion[np.arange(PEOPLE), :, np.where(BODIES.left, 20, 21)]
        fastest = np.linalg.norm(np.diff(hand, axis=1), axis=-1).max(axis=1) * 60
        assert low < np.median(fastest) < high
        if action == "pick_up":
            assert hand[..., 1].min(axis=1).max() < 0.16 * BODIES.stature.max(), "down at the floor"
        if action == "reach":
            shoulder = motion[np.arange(PEOPLE), :, np.where(BODIES.left, 16, 17)]
            far = np.linalg.norm(hand - shoulder, axis=-1).max(axis=1)
            assert (far > 0.8 * 0.311 * BODIES.stature).all()


def test_elbows_do_not_bend_backwards() -> None:
    """In the plane of the arm the elbow points away from the front, or down."""
    for action in ("punch", "reach", "pick_up", "sit"):
        motion = made(action)[0]
        chest = np.cross(motion[:, :, 13] - motion[:, :, 14], motion[:, :, 12] - motion[:, :, 9])
        chest /= np.linalg.norm(chest, axis=-1, keepdims=True)
        up = motion[:, :, 12] - motion[:, :, 9]
        up /= np.linalg.norm(up, axis=-1, keepdims=True)
        for shoulder, elbow, wrist in ((16, 18, 20), (17, 19, 21)):
            bulge = motion[:, :, elbow] - (motion[:, :, shoulder] + motion[:, :, wrist]) / 2
            forward, high = (bulge * chest).sum(axis=-1), (bulge * up).sum(axis=-1)
            assert (np.minimum(forward, high) < 0.05).all()


@pytest.mark.parametrize("action", ["walk", "run"])
def test_a_curve_turns_the_walker_by_what_it_says_at_the_same_speed(action: str) -> None:
    straight, _ = made(action, 0.0)
    motion, facts = made(action, 1.0)
    turned = heading(motion)
    # The hips swing with each step, so the ends are means over a stride.
    angle = turned[:, -20:].mean(axis=1) - turned[:, :20].mean(axis=1)
    assert np.corrcoef(angle, facts["turned"])[0, 1] > 0.97
    assert (np.sign(angle) == np.sign(facts["turned"])).all()
    ways = [np.linalg.norm(np.diff(m[:, :, 0, ::2], axis=1), axis=-1).sum(axis=1) for m in (straight, motion)]
    np.testing.assert_allclose(ways[1], ways[0], rtol=0.12)  # the leaning body cuts the corner


def test_the_body_leans_into_a_curve_by_speed_times_yaw_rate_over_gravity() -> None:
    motion, facts = made("run", 1.0)
    circle = facts["circle"] > 0
    rate = np.deg2rad(facts["turned"]) / 3.0
    trunk = motion[:, :, 12] - motion[:, :, 0]
    yaw = np.deg2rad(heading(motion))
    sideways = trunk[..., 0] * np.cos(yaw) - trunk[..., 2] * np.sin(yaw)
    lean = np.arctan2(sideways, trunk[..., 1]).mean(axis=1)
    expected = np.arctan(facts["speed"] * rate / 9.81)
    assert np.corrcoef(lean[circle], expected[circle])[0, 1] > 0.95
    assert 0.8 < np.polyfit(expected[circle], lean[circle], 1)[0] < 1.2


@pytest.mark.parametrize("speed", [2.2, 2.6, 3.2, 4.0])
def test_running_flies_at_every_speed(speed: float) -> None:
    population = replace(PRIVATE_ALL, actions=("run",), turning=0.0, clip_jitter=0.0, run_speed=(speed, 0.0))
    found = performances(population, 4, range(40), 1, 241, 120.0)
    motion = np.array([recording.samples for recording, _ in found], dtype=np.float64)
    flying = motion[:, :, [10, 11], 1].min(axis=2) > 0.03
    assert (flying.mean(axis=1) > 0.05).all() and np.median(flying.mean(axis=1)) > 0.15
    fall = np.diff(motion[:, :, 0, 1], n=2, axis=1) * 120**2
    np.testing.assert_allclose(np.percentile(fall, 5, axis=1), -9.81, atol=2.0)


def test_walking_does_not_fly() -> None:
    motion = made("walk", 0.0)[0]
    assert (motion[:, :, [10, 11], 1].min(axis=2) > 0.03).mean() < 0.01


def test_public_people_can_do_everything_too() -> None:
    found = [r for r, _ in performances(PUBLIC_ALL, 1, range(6), len(ACTIONS), 61, FRAME_RATE)]
    assert {recording.label for recording in found} == set(ACTIONS)
