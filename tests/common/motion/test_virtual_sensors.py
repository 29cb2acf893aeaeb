"""Virtual sensors read what physics says, and about what real ones do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.motion.population import PUBLIC_ALL
from common.motion.sensors import SENSOR
from common.motion.virtual_sensors import GRAVITY, MOUNTS, Mount, measure, segment, sense

Floats = NDArray[np.float64]
RATE = 120.0
TIME = np.arange(361) / RATE
each = pytest.mark.parametrize("mount", MOUNTS)


def about(axis: str, angle: Floats) -> Floats:
    return Rotation.from_euler(axis, angle[:, None]).as_matrix()[None]


def test_at_rest_gravity_points_up_in_the_devices_own_axes() -> None:
    still = np.zeros((1, 50, 3))
    axes = np.broadcast_to(about("x", np.full(1, np.deg2rad(30))), (1, 50, 3, 3))
    read = measure(still, axes, RATE)
    np.testing.assert_allclose(read[0, :, 3:], 0, atol=1e-9)
    np.testing.assert_allclose(
        read[0, :, :3], [[0, GRAVITY * np.cos(np.pi / 6), -GRAVITY / 2]] * 48, atol=1e-9
    )


@pytest.mark.parametrize(("axis", "column"), [("x", 3), ("y", 4), ("z", 5)])
def test_a_constant_rotation_is_read_as_its_rate(axis: str, column: int) -> None:
    read = measure(np.zeros((1, len(TIME), 3)), about(axis, 1.7 * TIME), RATE)
    expected = np.zeros(6)
    expected[column] = 1.7
    np.testing.assert_allclose(read[0, :, 3:], np.broadcast_to(expected[3:], (len(TIME) - 2, 3)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(read[0, :, :3], axis=-1), GRAVITY, atol=1e-9)


def test_a_circle_at_constant_speed_adds_the_centripetal_force() -> None:
    radius, rate = 0.6, 3.0
    turn = rate * TIME
    place = radius * np.stack([np.sin(turn), 0 * turn, np.cos(turn)], axis=-1)[None]
    read = measure(place, about("y", turn), RATE)[0]
    np.testing.assert_allclose(read[:, :3], [[0, GRAVITY, -radius * rate**2]] * len(read), atol=0.01)


def test_a_pendulum_swings_in_its_gyroscope_and_its_string_holds_it() -> None:
    """Small angle phi on a string l: tension g cos phi + l phi'^2 along it, and nothing across it."""
    length = 1.0
    rate = np.sqrt(GRAVITY / length)
    phi = 0.02 * np.cos(rate * TIME)
    place = length * np.stack([0 * phi, -np.cos(phi), -np.sin(phi)], axis=-1)[None]
    read = measure(place, about("x", phi), RATE)[0]
    np.testing.assert_allclose(read[:, 3], (-0.02 * rate * np.sin(rate * TIME))[1:-1], atol=1e-4)
    speed = 0.02 * rate * np.sin(rate * TIME)
    np.testing.assert_allclose(read[:, 1], (GRAVITY * np.cos(phi) + length * speed**2)[1:-1], atol=1e-3)
    np.testing.assert_allclose(read[:, 2], 0, atol=1e-3)


def test_without_gravity_that_test_would_fail() -> None:
    read = measure(np.zeros((1, 50, 3)), np.broadcast_to(np.eye(3), (1, 50, 3, 3)), RATE)
    felt = np.linalg.norm(read[..., :3], axis=-1)
    assert np.allclose(felt, 9.81) and not np.allclose(felt - GRAVITY, 9.81)


def worn(mount: Mount, action: str, people: int = 24) -> list[NDArray[np.float32]]:
    population = replace(PUBLIC_ALL, actions=(action,), turning=0.0)
    return [recording.samples for recording in sense(population, 3, range(people), mount, 1)]


@each
def test_a_person_who_sits_still_reads_gravity_and_no_turn(mount: Mount) -> None:
    for samples in worn(mount, "seated"):
        assert samples.shape[1] == len(SENSOR.channels) and samples.dtype == np.float32
        felt = np.linalg.norm(samples[:, :3], axis=1)
        assert abs(felt.mean() - 9.81) < 0.25 and felt.std() < 0.2
        assert np.abs(samples[:, 3:].mean(axis=0)).max() < 0.1


@each
def test_walking_beats_at_the_rate_of_steps(mount: Mount) -> None:
    """1.6 to 2 Hz, as in the recordings of the SP-SW-HAR set (1.6)."""
    beats = []
    for samples in worn(mount, "walk"):
        felt = np.linalg.norm(samples[:, :3], axis=1)
        spectrum = np.abs(np.fft.rfft((felt - felt.mean()) * np.hanning(len(felt)), 4096))
        rate = np.fft.rfftfreq(4096, 1 / SENSOR.rate)
        band = (rate > 0.6) & (rate < 3.0)
        beats.append(rate[band][spectrum[band].argmax()])
    assert 1.4 < np.median(beats) < 2.1


def test_a_watch_hangs_and_lies_as_a_real_one() -> None:
    """Means of the watch of SP-SW-HAR: walking -9.7, -3.0, 0.3 m/s^2; seated -2.6, -2.9, 8.0."""
    walking = np.concatenate(worn("watch", "walk"))[:, :3].mean(axis=0)
    seated = np.concatenate(worn("watch", "seated"))[:, :3].mean(axis=0)
    np.testing.assert_allclose(walking, [-9.7, -3.0, 0.3], atol=2.0)
    np.testing.assert_allclose(seated, [-2.6, -2.9, 8.0], atol=3.0)
    spread = np.mean([np.linalg.norm(s[:, :3], axis=1).std() for s in worn("watch", "walk")])
    assert 0.8 < spread < 3.0, "2.1 m/s^2 in the real recordings"


def test_turning_on_the_spot_is_seen_by_the_gyroscope_of_the_pelvis() -> None:
    population = replace(PUBLIC_ALL, actions=("turn",))
    for recording in sense(population, 3, range(12), "pelvis", 1):
        angle = np.rad2deg(recording.samples[:, 4].sum() / SENSOR.rate)
        side = 1 if any("left" in caption for caption in recording.captions) else -1
        size = 180 if any("half" in c or "around" in c for c in recording.captions) else 90
        assert abs(angle - side * size) < 35


def test_movements_are_cut_to_themselves() -> None:
    lengths = {
        action: np.median([len(s) for s in worn("pelvis", action)]) for action in ("sit", "stand", "walk")
    }
    assert lengths["walk"] > 145 and 50 < lengths["stand"] <= lengths["sit"] < 130


@each
def test_a_device_depends_on_its_wearer_alone(mount: Mount) -> None:
    crowd = {r.name: r.samples for r in sense(PUBLIC_ALL, 5, range(40), mount, 2)}
    for recording in sense(PUBLIC_ALL, 5, [37, 4], mount, 2):
        np.testing.assert_allclose(recording.samples, crowd[recording.name], atol=1e-4)


@each
def test_axes_are_rotations_without_jumps(mount: Mount) -> None:
    from common.motion.population import synthesise

    for action in ("walk", "wave", "jump", "reach", "turn"):
        population = replace(PUBLIC_ALL, actions=(action,))
        joints = np.array(
            [r.samples for r in synthesise(population, 3, range(20), 1, 181, 60.0)], dtype=np.float64
        )
        _, axes = segment(joints, mount)
        np.testing.assert_allclose(
            axes @ np.swapaxes(axes, -1, -2), np.broadcast_to(np.eye(3), axes.shape), atol=1e-6
        )
        steps = np.swapaxes(axes[:, :-1], -1, -2) @ axes[:, 1:]
        turned = np.arccos(np.clip((np.trace(steps, axis1=-2, axis2=-1) - 1) / 2, -1, 1)) * 60
        assert turned.max() < 40.0, "rad/s"
