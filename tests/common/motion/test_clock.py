from __future__ import annotations

import numpy as np
import pytest

from common.motion.clock import resample


def wave(times: np.ndarray, hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * times)


@pytest.mark.parametrize("source", [24.0, 30.0, 59.94, 60.0, 100.0, 120.0])
def test_a_slow_wave_keeps_its_shape_at_twenty_frames(source: float) -> None:
    times = np.arange(int(6 * source)) / source
    result = resample(times, wave(times, 1.5)[:, None], 20.0)[:, 0]
    expected = wave(np.arange(len(result)) / 20.0, 1.5)
    assert len(result) == int(np.floor(times[-1] * 20 + 1e-6)) + 1
    assert np.abs(result - expected)[10:-10].max() < 0.02


def test_what_twenty_frames_cannot_hold_does_not_alias() -> None:
    times = np.arange(1200) / 120.0
    fast = wave(times, 18.0)  # plain decimation would show it as a wave of 2 Hz
    assert np.abs(fast[::6]).max() > 0.5
    assert np.abs(resample(times, fast, 20.0)[10:-10]).max() < 0.02


def test_an_uneven_clock_with_duplicates_gives_the_same_wave() -> None:
    rng = np.random.default_rng(3)
    times = np.sort(np.concatenate([[0.0], np.cumsum(rng.uniform(0.006, 0.013, 800))]))
    times[100] = times[99]
    result = resample(times, wave(times, 3.0), 50.0)
    expected = wave(np.arange(len(result)) / 50.0, 3.0)
    assert np.abs(result - expected)[20:-20].max() < 0.03


@pytest.mark.parametrize("samples", [1, 2, 3, 7])
def test_very_short_recordings_stay_finite(samples: int) -> None:
    values = np.arange(samples * 2, dtype=float).reshape(samples, 2)
    result = resample(np.arange(samples) / 104.0, values, 50.0)
    assert np.isfinite(result).all() and result.shape[1] == 2 and len(result) >= 1


def test_a_slower_source_is_interpolated_through_its_samples() -> None:
    times = np.arange(20) / 10.0
    values = wave(times, 0.5)
    assert np.allclose(resample(times, values, 20.0)[::2], values, atol=1e-9)
