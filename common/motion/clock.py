"""From the clock that data were recorded on to a fixed rate, without aliasing."""

from __future__ import annotations

from math import ceil
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import Akima1DInterpolator
from scipy.signal import butter, sosfiltfilt

Floats = NDArray[np.float64]

CUTOFF: Final = 0.4
"""Low-pass cut-off as a share of the target rate (the Nyquist limit is 0.5)."""


def uniform_times(times: Floats, rate: float) -> Floats:
    """Instants k / `rate` from the first time to the last, seconds, `[m]`."""
    steps = int(np.floor((times[-1] - times[0]) * rate + 1e-6))
    return np.asarray(times[0] + np.arange(steps + 1) / rate, np.float64)


def merge_duplicates(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Average the rows that carry the same time: `[n], [n, ...]` -> `[u], [u, ...]`."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(unique) == len(times):
        return times, values
    shape = (-1,) + (1,) * (values.ndim - 1)
    return unique, np.add.reduceat(values, first, axis=0) / counts.reshape(shape)


def resample(times: ArrayLike, values: ArrayLike, rate: float) -> Floats:
    """`values` `[n, ...]` recorded at `times` `[n]` (seconds, not decreasing) at a fixed `rate`, `[m, ...]`.

    Three steps: Akima interpolation onto a uniform grid, the smallest multiple of
    `rate` that is no coarser than the source; a zero-phase fourth-order Butterworth
    low-pass at `CUTOFF` x `rate`; every k-th sample. A source slower than `rate` is
    only interpolated. Row i of the result belongs to `times[0] + i / rate`; rows with
    the same time count once, as their mean.
    """
    time, data = merge_duplicates(np.asarray(times, np.float64), np.asarray(values, np.float64))
    if len(time) < 2:
        return data.copy()
    source_rate = 1.0 / float(np.median(np.diff(time)))
    factor = max(1, ceil(source_rate / rate - 1e-3))
    grid = np.minimum(uniform_times(time, rate * factor), time[-1])
    fine = _interpolate(time, data, grid)
    if source_rate > rate * (1 + 1e-3):
        fine = _low_pass(fine, CUTOFF / factor)
    return fine[::factor]


def _interpolate(time: Floats, data: Floats, grid: Floats) -> Floats:
    if len(time) == 2:
        weight = ((grid - time[0]) / (time[1] - time[0])).reshape((-1,) + (1,) * (data.ndim - 1))
        return np.asarray(data[0] + weight * (data[1] - data[0]), np.float64)
    return np.asarray(Akima1DInterpolator(time, data, method="makima")(grid), np.float64)


def _low_pass(data: Floats, cutoff: float) -> Floats:
    """Zero-phase low-pass along the first axis; `cutoff` is a share of the sampling rate."""
    sections = butter(4, 2.0 * cutoff, output="sos")
    # The mirrored ends must settle before the data start: about two periods of the cut-off.
    padding = min(len(data) - 1, ceil(2.0 / cutoff))
    return np.asarray(sosfiltfilt(sections, data, axis=0, padlen=padding), np.float64)
