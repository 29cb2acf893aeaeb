"""What a motion is generated for: a label, a sentence, a length."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Condition(NamedTuple):
    """One condition for each latent, on the axes `[...]` of the diffusion's sigma.

    `labels` `[...]` int64 are indices into the declared vocabulary, its size for none. `text`
    `[..., size]` are embeddings of sentences, of norm 1 at most and zero for none (size 0: the
    generator knows no text). `lengths` `[...]` int64 counts the latent frames that are motion; what
    stands after them is padding.
    """

    labels: Tensor
    text: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, labels: Tensor, frames: int) -> Self:
        """Labels alone, for motions of full length."""
        return cls(labels, torch.zeros(*labels.shape, 0), torch.full_like(labels, frames))

    def without(self, labels: int) -> Self:
        """The same lengths, under neither label nor text; `labels` is the size of the vocabulary."""
        return self.dropped(torch.ones_like(self.labels, dtype=torch.bool), labels)

    def dropped(self, where: Tensor, labels: int) -> Self:
        """Neither label nor text where `where` `[...]` is True."""
        return self._replace(
            labels=torch.where(where, labels, self.labels),
            text=torch.where(where[..., None], 0.0, self.text),
        )

    def repeated(self, times: int) -> Self:
        """The same condition `times` times over, on a new last axis."""
        alike = (*self.labels.shape, times)
        return type(self)(
            self.labels[..., None].expand(alike),
            self.text[..., None, :].expand(*alike, self.text.shape[-1]),
            self.lengths[..., None].expand(alike),
        )

    def at(self, rows: Tensor) -> Self:
        """The conditions at `rows` of the first axis."""
        return type(self)(*(part[rows] for part in self))
