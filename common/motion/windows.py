"""Recordings cut into training sequences of one fixed length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from common.motion.recording import SKELETON, Modality

Array = NDArray[np.float32]


def synthetic_frames(window: int | None) -> int:
    """Frames of a synthetic motion that fills one window of skeleton features (None: the usual one)."""
    return frames_per_window(SKELETON if window is None else replace(SKELETON, window=window))


def frames_per_window(modality: Modality) -> int:
    """Samples in one window: for skeletons one more, as features are differences."""
    return modality.window + 1 if modality.kind == "skeleton" else modality.window


def lengths(frames: int, modality: Modality) -> list[int]:
    """For each of the windows of a recording of `frames` samples: how many of its frames are motion.

    A skeleton's are frames of features, one less than those of joints.
    """
    if frames < frames_per_window(modality):
        return [max(1, frames - (modality.kind == "skeleton"))]
    return [modality.window] * len(_starts(frames, modality))


def windows(samples: Array, modality: Modality) -> Array:
    """Cut `samples` `[frames, ...]` into windows `[n, frames_per_window, ...]`, n >= 1.

    Windows follow one another; a rest of at least half a window gets one more that ends
    with the recording. A recording shorter than a window is padded by holding its last
    frame. The cut depends on this recording's length alone.
    """
    length = frames_per_window(modality)
    frames = samples.shape[0]
    if frames < length:
        padding = np.repeat(samples[-1:], length - frames, axis=0)
        return np.concatenate([samples, padding])[None]
    return np.stack([samples[start : start + length] for start in _starts(frames, modality)])


def _starts(frames: int, modality: Modality) -> list[int]:
    """Where the windows of a recording begin that fills at least one."""
    length = frames_per_window(modality)
    starts = list(range(0, frames - length + 1, modality.window))
    rest = frames - (starts[-1] + length)
    if rest >= length // 2:
        starts.append(frames - length)
    return starts
