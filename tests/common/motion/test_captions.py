"""Captions say nothing that the motion does not do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from common.motion.captions import SCALES
from common.motion.people import ACTIONS
from common.motion.population import PRIVATE_ALL, ground_truth, synthesise

PEOPLE = 100
Made = tuple[tuple[str, ...], NDArray[np.float64]]


def made(action: str) -> list[Made]:
    """Captions and joints of one motion of each person."""
    population = replace(PRIVATE_ALL, actions=(action,))
    found = synthesise(population, 6, range(PEOPLE), 1)
    return [(recording.captions, recording.samples.astype(np.float64)) for recording in found]


def has(captions: tuple[str, ...], *words: str) -> bool:
    return any(f" {word} " in f" {caption.replace(',', '')} " for caption in captions for word in words)


def turned(motion: NDArray[np.float64]) -> float:
    """Degrees from the first half second's heading to the last's, left positive."""
    across = motion[:, 1] - motion[:, 2]
    yaw = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    return float(np.rad2deg(yaw[-20:].mean() - yaw[:20].mean()))


def wrong_courses(clips: list[Made]) -> int:
    """How many captions of walks or runs name another course than the hips take."""
    wrong = 0
    for captions, motion in clips:
        angle, left, right = (
            turned(motion),
            has(captions, "left", "anticlockwise"),
            has(captions, "right", "clockwise"),
        )
        wrong += (left and angle <= 15) + (right and angle >= -15)
        wrong += abs(angle) > 20 and not has(captions, "circle", "curve", "turns")
        wrong += has(captions, "forward", "straight") and abs(angle) > 20
    return wrong


@pytest.mark.parametrize("action", ACTIONS)
def test_two_or_three_different_sentences_of_the_declared_words(action: str) -> None:
    men = ground_truth(PRIVATE_ALL, 6, range(PEOPLE)).male
    clips = made(action)
    assert {len(captions) for captions, _ in clips} == {2, 3}
    for (captions, _), male in zip(clips, men, strict=True):
        assert len(set(captions)) == len(captions)
        assert not has(captions, "woman" if male else "man")
        for caption in captions:
            assert caption == " ".join(caption.split()) and "{" not in caption and caption.isascii()
            assert caption.startswith(("a person ", "someone ", "a man ", "a woman "))
    assert {caption.split(" ")[0] for captions, _ in clips for caption in captions} == {"a", "someone"}


@pytest.mark.parametrize("action", ["walk", "run"])
def test_the_course_is_the_one_that_is_taken(action: str) -> None:
    clips = made(action)
    assert wrong_courses(clips) == 0
    for words in (("left", "anticlockwise"), ("right", "clockwise"), ("circle",), ("forward", "straight")):
        assert sum(has(captions, *words) for captions, _ in clips) > 5


def test_captions_of_other_motions_fail_that_test() -> None:
    clips = made("walk")
    mixed = [(clips[k - 1][0], clips[k][1]) for k in range(PEOPLE)]
    assert wrong_courses(mixed) > 20


@pytest.mark.parametrize(
    ("action", "slow", "fast"),
    [("walk", ("slowly", "slow"), ("quickly", "fast")), ("run", ("jogs", "slowly"), ("quickly", "fast"))],
)
def test_slow_and_fast_are_thirds_of_the_speed_by_public_bounds(
    action: str, slow: tuple[str, ...], fast: tuple[str, ...]
) -> None:
    scale = next(iter(SCALES[action].values()))
    said = {"slow": 0, "fast": 0}
    for captions, motion in made(action):
        # Along the way of the feet's middle, every tenth frame: without sway, and not cut by the lean.
        way = motion[::10, [10, 11]].mean(axis=1)[:, [0, 2]]
        speed = np.linalg.norm(np.diff(way, axis=0), axis=1).sum() / 3
        if has(captions, *slow):
            said["slow"] += 1
            assert speed < scale.low * 1.15
        if has(captions, *fast):
            said["fast"] += 1
            assert speed > scale.high * 0.85
        assert not (has(captions, *slow) and has(captions, *fast))
    assert min(said.values()) > 10


@pytest.mark.parametrize(
    ("action", "left", "right"),
    [("wave", 20, 21), ("punch", 20, 21), ("reach", 20, 21), ("pick_up", 20, 21), ("kick", 10, 11)],
)
def test_left_and_right_are_the_limb_that_moves(action: str, left: int, right: int) -> None:
    for captions, motion in made(action):
        ways = [np.linalg.norm(np.diff(motion[:, j], axis=0), axis=1).sum() for j in (left, right)]
        assert not has(captions, "right" if ways[0] > ways[1] else "left")


def test_turns_on_the_spot_have_their_side_and_size() -> None:
    for captions, motion in made("turn"):
        angle = turned(motion)
        assert not has(captions, "right" if angle > 0 else "left")
        around = has(captions, "around", "half")
        assert around == (abs(angle) > 120)


def test_high_jumps_deep_squats_and_high_kicks_are_higher_and_deeper() -> None:
    def height(motion: NDArray[np.float64], action: str) -> float:
        pelvis = motion[:, 0, 1]
        if action == "jump":
            return float(motion[:, [10, 11], 1].min(axis=1).max())
        if action == "squat":
            return float((pelvis[0] - pelvis.min()) / pelvis[0])
        return float(motion[:, [10, 11], 1].max() / pelvis[0])

    words = {"jump": (("small", "little"), ("high", "big")), "squat": (("halfway",), ("deeply", "deep")),
             "kick": (("hip",), ("high",))}  # fmt: skip
    for action, (small, big) in words.items():
        clips = made(action)
        low = [height(motion, action) for captions, motion in clips if has(captions, *small)]
        high = [height(motion, action) for captions, motion in clips if has(captions, *big)]
        assert min(len(low), len(high)) > 5 and np.mean(low) < np.mean(high)
        assert np.percentile(low, 90) < np.percentile(high, 50)


def test_captions_are_the_clips_own_and_stay() -> None:
    once = {r.name: r.captions for r in synthesise(PRIVATE_ALL, 3, range(12))}
    again = {r.name: r.captions for i in (9, 2) for r in synthesise(PRIVATE_ALL, 3, [i])}
    assert all(once[name] == captions for name, captions in again.items())
    assert len(set(once.values())) > 30
