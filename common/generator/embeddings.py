"""The sentences of motions as vectors: several for each motion, one of them drawn at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from common.generator.text import TextEncoder, label_sentence
from common.motion.recording import Recording


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Motion i has the rows `starts[i]` to `starts[i + 1]` of `table` `[rows, size]`, at least one."""

    table: Tensor
    starts: Tensor

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]], encoder: TextEncoder | None) -> Self:
        """`sentences[i]` are motion i's; the zero vector stands for none. Equal ones are encoded once.

        A row depends on its own sentence alone. One that cannot be encoded becomes NaN, which makes
        its own unit contribute zero and nobody else's.
        """
        size = 0 if encoder is None else encoder.size
        known: dict[str, Tensor] = {}
        rows, starts = [], [0]
        for own in sentences:
            if encoder is not None:
                known |= {s: _encoded(encoder, s) for s in own if s not in known}
                rows += [known[sentence] for sentence in own]
            if len(rows) == starts[-1]:
                rows.append(torch.zeros(size))
            starts.append(len(rows))
        table = torch.stack(rows) if rows else torch.zeros(0, size)
        return cls(table, torch.tensor(starts))

    @property
    def size(self) -> int:
        return int(self.table.shape[1])

    def drawn(self, motions: Tensor, uniform: Tensor) -> Tensor:
        """One row for each of `motions` `[...]`, chosen by its number in (0, 1): `[..., size]`."""
        start = self.starts[motions]
        count = self.starts[motions + 1] - start
        return self.table[start + torch.minimum((uniform * count).to(torch.int64), count - 1)]


def spoken(recording: Recording) -> tuple[str, ...]:
    """What is said of `recording`: its captions, or else the public sentence of its label, or nothing."""
    if recording.captions or recording.label is None:
        return recording.captions
    return (label_sentence(recording.label),)


def _encoded(encoder: TextEncoder, sentence: str) -> Tensor:
    try:
        return encoder.encode([sentence])[0]
    except MemoryError:
        raise
    except Exception:
        return torch.full((encoder.size,), torch.nan)
