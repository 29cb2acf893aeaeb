"""Motions as a codec takes them: windows with labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.motion.recording import Modality, Recording
from common.motion.windows import windows


@dataclass(frozen=True, eq=False)
class Corpus:
    """Windows `[n, ...]` and indices into a vocabulary `[n]` (its size: none)."""

    windows: Tensor
    labels: Tensor


def corpus(recordings: Iterator[Recording], modality: Modality, vocabulary: tuple[str, ...]) -> Corpus:
    """All windows of `recordings`, with labels as indices into `vocabulary`."""
    known = {label: index for index, label in enumerate(vocabulary)}
    cut, labels = [], []
    for recording in recordings:
        parts = windows(recording.samples, modality)
        cut.append(parts)
        labels += [known.get(recording.label or "", len(vocabulary))] * len(parts)
    if not cut:
        return Corpus(torch.empty(0), torch.empty(0, dtype=torch.int64))
    return Corpus(torch.from_numpy(np.concatenate(cut)), torch.tensor(labels, dtype=torch.int64))
