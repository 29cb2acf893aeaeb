"""Motions as a codec takes them: windows with labels and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.generator.condition import Condition
from common.generator.embeddings import Embeddings, spoken
from common.generator.text import TextEncoder
from common.motion.recording import Modality, Recording
from common.motion.windows import windows


@dataclass(frozen=True, eq=False)
class Corpus:
    """Windows `[n, ...]` and indices into a vocabulary `[n]` (its size: none).

    `text` are the embeddings of what is said of each window (None: the generator knows no text).
    """

    windows: Tensor
    labels: Tensor
    text: Embeddings | None = None

    def condition(self, rows: Tensor, frames: int, random: torch.Generator) -> Condition:
        """What the windows `rows` `[...]` show, at full length; `random` draws one of several sentences."""
        condition = Condition.of(self.labels[rows], frames)
        if self.text is None:
            return condition
        return condition._replace(text=self.text.drawn(rows, torch.rand(rows.shape, generator=random)))


def corpus(
    recordings: Iterator[Recording],
    modality: Modality,
    vocabulary: tuple[str, ...],
    text: TextEncoder | None = None,
) -> Corpus:
    """All windows of `recordings`, with labels as indices into `vocabulary`; `text` reads the captions."""
    known = {label: index for index, label in enumerate(vocabulary)}
    cut, labels, said = [], [], []
    for recording in recordings:
        parts = windows(recording.samples, modality)
        cut.append(parts)
        labels += [known.get(recording.label or "", len(vocabulary))] * len(parts)
        said += [spoken(recording)] * len(parts)
    embedded = None if text is None else Embeddings.of(said, text)
    if not cut:
        return Corpus(torch.empty(0), torch.empty(0, dtype=torch.int64), embedded)
    return Corpus(torch.from_numpy(np.concatenate(cut)), torch.tensor(labels, dtype=torch.int64), embedded)
