"""Wearable sensors: an uneven clock to 50 Hz, cut into runs of one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.motion.clock import resample
from common.motion.recording import Array, Modality

Floats = NDArray[np.float64]

CHANNELS: Final = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")
"""Accelerometer in m/s^2 with gravity, gyroscope in rad/s."""

SENSOR: Final = Modality(kind="sensor", rate=50.0, window=64, channels=CHANNELS)
"""Windows of 64 samples at 50 Hz: 1.28 seconds."""

LONGEST_GAP: Final = 0.25
"""Seconds without a sample over which nothing is interpolated: the run ends there."""

_GRAVITY = 9.80665
UNITS: Final[dict[str, float]] = {
    "m/s^2": 1.0, "g": _GRAVITY, "mg": _GRAVITY / 1000, "rad/s": 1.0, "deg/s": float(np.pi / 180), "1": 1.0,
}  # fmt: skip
"""Factor from a unit to m/s^2 or rad/s ("1" leaves a channel as it is)."""


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive samples `[samples, channels]` of one label at the target rate."""

    label: str | None
    samples: Array


def label_runs(times: ArrayLike, values: ArrayLike, labels: Sequence[str] | None, rate: float) -> list[Run]:
    """Cut one recording into runs of one label at a fixed `rate`.

    `times` `[n]` seconds, not decreasing; `values` `[n, channels]`; `labels` one a
    row, or None. The recording is cut where more than `LONGEST_GAP` seconds have no
    sample, each part is resampled without aliasing (`common.motion.clock.resample`),
    and a sample takes the label of the last row at or before it. A run ends where the
    label changes.
    """
    time, data = np.asarray(times, np.float64), np.asarray(values, np.float64)
    cuts = np.flatnonzero(np.diff(time) > LONGEST_GAP) + 1
    runs: list[Run] = []
    for rows in np.split(np.arange(len(time)), cuts):
        samples = resample(time[rows], data[rows], rate).astype(np.float32)
        if labels is None:
            runs.append(Run(None, samples))
            continue
        grid = time[rows[0]] + np.arange(len(samples)) / rate
        last = rows[np.searchsorted(time[rows], grid + 1e-9, side="right") - 1]
        names = np.array([labels[row] for row in last])
        for part in np.split(np.arange(len(samples)), np.flatnonzero(names[1:] != names[:-1]) + 1):
            runs.append(Run(str(names[part[0]]), samples[part]))
    return runs


def fill_window(samples: Array, window: int) -> Array | None:
    """The padding rule, decided from this run alone: `[n, channels]` to at least `window` samples.

    A run of a window or more stays as it is. One of at least half a window is mirrored
    at its end up to a window. A shorter one would be mostly its own mirror image: None.
    """
    missing = window - len(samples)
    if missing <= 0:
        return samples
    if 2 * len(samples) < window:
        return None
    return np.pad(samples, ((0, missing), (0, 0)), mode="symmetric")
