"""Procedural people: bodies, contacts, timing laws and reproducibility."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.population import (
    ACTIONS,
    BASIC_ACTIONS,
    PRIVATE,
    PUBLIC,
    Population,
    ground_truth,
    synthesise,
)
from common.motion.skeleton import FRAME_RATE, JOINTS, PARENTS

Floats = NDArray[np.float64]
PEOPLE = 60
POPULATIONS = {"private": PRIVATE, "public": PUBLIC}


def only(population: Population, action: str) -> Population:
    return replace(population, actions=(action,))


@cache
def joints(name: str, action: str) -> Floats:
    """One motion each of the first people, `[people, 61, 22, 3]`."""
    found = synthesise(only(POPULATIONS[name], action), 7, range(PEOPLE), motions=1)
    return np.array([recording.samples for recording in found], dtype=np.float64)


def angle(a: Floats, b: Floats) -> Floats:
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def skate_ratio(motion: Floats, height: float = 0.02, speed: float = 0.3) -> float:
    """Share of (frame, foot) that slides while its toe is low, averaged over motions."""
    toes = motion[:, :, [10, 11]]
    low = toes[..., 1] < np.percentile(toes[..., 1], 2, axis=1)[:, None] + height
    sliding = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=1), axis=-1) * FRAME_RATE > speed
    return float((low[:, 1:] & low[:, :-1] & sliding).mean())


each = pytest.mark.parametrize("action", ACTIONS)
both = pytest.mark.parametrize("name", POPULATIONS)


@both
@each
def test_bones_are_rigid_and_feet_above_the_floor(name: str, action: str) -> None:
    motion = joints(name, action)
    assert np.isfinite(motion).all()
    bones = np.linalg.norm(motion[:, :, 1:] - motion[:, :, list(PARENTS[1:])], axis=-1)
    assert bones.std(axis=1).max() < 1e-6
    lowest = motion[..., 1].min(axis=(1, 2))
    assert lowest.min() > 0.0
    assert lowest.max() < 0.03  # the toe joint lies 1 to 2 cm above the sole


@both
@each
def test_starts_at_the_origin_facing_forward(name: str, action: str) -> None:
    first = joints(name, action)[:, 0]
    assert np.abs(first[:, 0, [0, 2]]).max() < 1e-6
    across = first[:, 1] - first[:, 2] + first[:, 16] - first[:, 17]  # towards the person's left
    assert np.abs(np.degrees(np.arctan2(across[:, 2], across[:, 0]))).max() < 25.0
    toes_ahead = first[:, [10, 11], 2] - first[:, [7, 8], 2]
    assert toes_ahead.mean() > 0.05


@each
def test_knees_bend_forward_and_within_reach(action: str) -> None:
    motion = joints("private", action)
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        thigh, shank = motion[:, :, knee] - motion[:, :, hip], motion[:, :, ankle] - motion[:, :, knee]
        bend = angle(thigh, shank)
        assert bend.min() > 1.0
        assert bend.max() < 150.0
        left = (motion[:, :, 1] - motion[:, :, 2]) * np.array([1.0, 0.0, 1.0])
        bent = (np.cross(thigh, shank) * left / np.linalg.norm(left, axis=-1, keepdims=True)).sum(axis=-1)
        assert bent.min() > -5e-3  # about the person's left axis
        arms = {4: (16, 18, 20), 5: (17, 19, 21)}[knee]
        upper = motion[:, :, arms[1]] - motion[:, :, arms[0]]
        lower = motion[:, :, arms[2]] - motion[:, :, arms[1]]
        assert angle(upper, lower).max() < 150.0


@each
def test_nothing_pops(action: str) -> None:
    """Pelvis and head stay below the accelerations of measured motion; a jump's flight has -g."""
    motion = joints("private", action)
    acceleration = np.linalg.norm(np.diff(motion, n=2, axis=1), axis=-1) * FRAME_RATE**2
    limit = {"run": 45, "jump": 60}.get(action, 25)
    assert acceleration[:, :, [0, 15]].max() < limit


@both
def test_feet_do_not_skate_when_walking(name: str) -> None:
    assert skate_ratio(joints(name, "walk")) < 0.1


@both
@pytest.mark.parametrize("action", ["walk", "run"])
def test_gait_meets_the_requested_speed(name: str, action: str) -> None:
    population = replace(only(POPULATIONS[name], action), clip_jitter=0.0)
    motion = np.array([r.samples for r in synthesise(population, 3, range(PEOPLE), 1, frames=121)])
    people = ground_truth(population, 3, range(PEOPLE))
    wanted = people.walk_speed if action == "walk" else people.run_speed
    travelled = motion[:, -1, 0, 2] - motion[:, 0, 0, 2]
    np.testing.assert_allclose(travelled / 6.0, wanted, rtol=0.03)
    assert np.abs(motion[:, :, 0, 0]).max() < 0.15


@pytest.mark.parametrize("action", ["walk", "run"])
def test_cadence_follows_the_timing_laws(action: str) -> None:
    population = replace(only(PRIVATE, action), clip_jitter=0.0)
    motion = np.array([r.samples for r in synthesise(population, 3, range(PEOPLE), 1, frames=401)])
    people = ground_truth(population, 3, range(PEOPLE))
    apart = motion[:, :, 7, 2] - motion[:, :, 8, 2]
    spectrum = np.abs(np.fft.rfft(apart * np.hanning(401), n=4096, axis=1))
    cadence = 120.0 * spectrum.argmax(axis=1) * FRAME_RATE / 4096
    if action == "walk":
        np.testing.assert_allclose(cadence, np.sqrt(60 * people.walk_speed / people.walk_ratio), rtol=0.03)
    else:
        ratio = cadence / (154 + 13.5 * (people.run_speed - 2.4))
        assert abs(np.median(ratio) - 1) < 0.02
        assert ratio.std() < 0.05


def test_limbs_swing_in_opposition_when_walking() -> None:
    motion = joints("private", "walk")
    ankles, wrists, hips = (motion[:, :, a, 2] - motion[:, :, b, 2] for a, b in ((8, 7), (21, 20), (2, 1)))
    for i in range(PEOPLE):
        assert np.corrcoef(ankles[i], wrists[i])[0, 1] < -0.4
    assert np.corrcoef(ankles.ravel(), hips.ravel())[0, 1] > 0.4


@both
def test_running_has_flight(name: str) -> None:
    motion = joints(name, "run")
    lowest = motion[:, :, [7, 8, 10, 11], 1].min(axis=2)
    assert (lowest.max(axis=1) > 0.025).all()
    assert np.median(lowest.max(axis=1)) > 0.05
    assert np.ptp(motion[:, :, 0, 1], axis=1).max() < 0.12


@both
def test_squat_goes_down_and_comes_back(name: str) -> None:
    height = joints(name, "squat")[:, :, 0, 1]
    drop = height.max(axis=1) - height.min(axis=1)
    assert drop.min() > 0.30
    assert drop.max() < 0.55
    assert np.abs(height[:, -1] - height[:, 0]).max() < 0.05
    knees = joints(name, "squat")[:, :, [4, 5]]
    assert np.abs(np.diff(knees, axis=1)).max() < 0.1


@both
def test_jump_leaves_the_floor_under_gravity(name: str) -> None:
    motion = joints(name, "jump")
    toes = motion[:, :, [10, 11], 1].min(axis=2)
    assert (toes.max(axis=1) > 0.05).all()
    apex = motion[:, :, 0, 1].argmax(axis=1)
    rows = np.arange(len(motion))
    bend = motion[rows, apex - 1, 0, 1] - 2 * motion[rows, apex, 0, 1] + motion[rows, apex + 1, 0, 1]
    np.testing.assert_allclose(bend * FRAME_RATE**2, -9.81, atol=0.2)
    assert (motion[:, 0, 0, 1] - motion[:, :, 0, 1].min(axis=1) > 0.08).all()


@both
def test_wave_raises_one_hand_and_swings_it(name: str) -> None:
    motion = joints(name, "wave")
    above = motion[:, :, [20, 21], 1] - motion[:, :, [16, 17], 1]
    assert (above.max(axis=(1, 2)) > 0.05).all()
    assert (above.max(axis=1).min(axis=1) < 0).all()
    assert ((above > 0).any(axis=2).mean(axis=1) > 0.3).all()
    left = above[:, :, 0].max(axis=1) > 0
    assert (left == ground_truth(POPULATIONS[name], 7, range(PEOPLE)).left).all()


@both
def test_kick_rises_above_the_other_knee_and_comes_back(name: str) -> None:
    motion = joints(name, "kick")
    over = np.maximum(motion[:, :, 10, 1] - motion[:, :, 5, 1], motion[:, :, 11, 1] - motion[:, :, 4, 1])
    assert (over.max(axis=1) > 0.0).all()
    assert (over.argmax(axis=1) > 8).all()
    assert np.linalg.norm(motion[:, -1, 7:9] - motion[:, 0, 7:9], axis=-1).max() < 0.05


def test_recordings_are_named_and_typed() -> None:
    found = list(synthesise(PRIVATE, 1, [12, 3], motions=5, frames=40))
    assert [r.person for r in found] == ["p000012"] * 5 + ["p000003"] * 5
    for position, recording in enumerate(found):
        assert recording.label in ACTIONS
        assert recording.name == f"{recording.person}_{position % 5}_{recording.label}"
        assert recording.samples.shape == (40, JOINTS, 3)
        assert recording.samples.dtype == np.float32
    assert [found[0].label, found[5].label] == ["walk", "walk"]


@pytest.mark.parametrize("population", [PRIVATE, PUBLIC])
def test_a_person_depends_on_nobody_else(population: Population) -> None:
    crowd = {r.name: r.samples for r in synthesise(population, 5, range(140))}
    alone = list(synthesise(population, 5, [133])) + list(synthesise(population, 5, [133, 2]))
    for recording in alone:
        np.testing.assert_allclose(recording.samples, crowd[recording.name], atol=1e-6)


def test_seeds_and_populations_differ() -> None:
    def walk(population: Population, seed: int) -> NDArray[np.float32]:
        return next(iter(synthesise(population, seed, [0]))).samples

    np.testing.assert_array_equal(walk(PRIVATE, 1), walk(PRIVATE, 1))
    assert np.abs(walk(PRIVATE, 1) - walk(PRIVATE, 2)).max() > 0.01
    assert np.abs(walk(PRIVATE, 1) - walk(PUBLIC, 1)).max() > 0.01


def test_public_people_are_shorter_slower_and_more_alike() -> None:
    private, public = (ground_truth(p, 1, range(400)) for p in (PRIVATE, PUBLIC))
    assert private.stature.mean() - public.stature.mean() > 0.02
    assert private.walk_speed.mean() - public.walk_speed.mean() > 0.1
    assert public.style.std(axis=0).mean() < 0.8 * private.style.std(axis=0).mean()
    assert abs(np.corrcoef(private.stature, public.stature)[0, 1]) < 0.15


def test_actions_are_mixed_evenly() -> None:
    counts = Counter(r.label for r in synthesise(PRIVATE, 2, range(200), motions=4, frames=4))
    assert counts["walk"] == 200
    assert set(counts) == set(BASIC_ACTIONS)
    for action in BASIC_ACTIONS[1:]:
        assert 80 < counts[action] < 160
    whole = Counter(r.label for r in synthesise(PUBLIC, 2, range(10), motions=6, frames=4))
    assert set(whole.values()) == {10}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"motions": 0}, "motions=0"),
        ({"frames": 1}, "frames=1"),
        ({"seed": -1}, "seed"),
        ({"indices": [-4]}, "indices"),
        ({"population": replace(PRIVATE, action_mix=(1.0,))}, "action_mix"),
    ],
)
def test_wrong_counts_are_named(arguments: dict[str, object], word: str) -> None:
    usual: dict[str, object] = {"population": PRIVATE, "seed": 1, "indices": [0]}
    with pytest.raises(InputError, match=word):
        synthesise(**(usual | arguments))  # type: ignore[arg-type]
