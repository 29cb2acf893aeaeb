"""The shared generator: public codec, denoiser, parameters, and how to draw motions from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import torch
from torch import Tensor

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser
from common.generator.diffusion import Diffusion
from common.generator.samplers import Denoise, Sampler, guided

UNLABELLED: Final = "unlabelled"
"""The name of a sample drawn without a label."""

FEWEST_FRAMES: Final = 40
MOST_GUIDANCE: Final = 20.0

_BATCH: Final = 4096
_BATCH_FRAMES: Final = 4096
"""Motions, and their latent frames, that are drawn at once."""


@dataclass(frozen=True, eq=False)
class Generator:
    """`label_prior` `[labels + 1]` is public; its last entry is for motions without a label.

    `label_text` `[labels + 1, size]` are the texts that stand for labels where none is given (None:
    the generator knows no text). `sampler` is what it draws with unless told otherwise.
    """

    codec: Codec
    denoiser: Denoiser
    parameters: Mapping[str, Tensor]
    label_prior: Tensor
    diffusion: Diffusion = field(default_factory=Diffusion)
    label_text: Tensor | None = None
    sampler: Sampler = field(default_factory=Sampler)

    def sample(
        self,
        count: int,
        label: str | None = None,
        seed: int = 0,
        *,
        sampler: Sampler | None = None,
        guidance: float = 0.0,
        frames: int | None = None,
        text: Tensor | None = None,
    ) -> tuple[Tensor, list[str]]:
        """Draw `count` motions: joints `[count, frames, 22, 3]` metres or sensor windows, and their labels.

        `label` None draws labels from the prior, in shares as even as `count` allows. `text`
        `[size]` or `[count, size]` embeds sentences. `guidance` w draws from D + w (D - D_null)
        (Ho and Salimans 2022). `frames` is the length of each motion, by default the codec's window.
        The same arguments give the same motions. Raises InputError for what cannot be drawn.
        """
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        if not 0 <= guidance <= MOST_GUIDANCE:
            raise InputError(f"guidance is {guidance}: it must be from 0 to {MOST_GUIDANCE:g}")
        length = self._length(frames)
        sampler = self.sampler if sampler is None else sampler
        row = self.diffusion.preconditioning
        levels = sampler.levels(row.sigma_min, row.sigma_max, row.spacing)
        random = torch.Generator().manual_seed(seed)
        wished = self._condition(count, label, length, text, random)
        pieces = []
        with torch.no_grad():
            for rows in torch.arange(count).split(max(1, min(_BATCH, _BATCH_FRAMES // self.codec.frames))):
                part = wished.at(rows)
                shape = (len(rows), self.codec.latent)
                latents = sampler.draw(self._denoise(part, guidance), shape, levels, random)
                pieces.append(self.codec.decode(latents, part.labels, random)[:, :length])
        names = [*self.codec.labels, UNLABELLED]
        return torch.cat(pieces), [names[i] for i in wished.labels.tolist()]

    def _length(self, frames: int | None) -> int:
        """How many frames a motion gets; InputError where there can be no such motion."""
        window = self.codec.modality.window
        if frames is None or frames == window:
            return window
        if self.codec.frames == 1:
            raise InputError(f"frames is {frames}: all motions of this generator have {window} frames")
        fewest = min(FEWEST_FRAMES, window)
        if not fewest <= frames <= window:
            raise InputError(f"frames is {frames}: it must be from {fewest} to {window}")
        return frames

    def _condition(
        self, count: int, label: str | None, length: int, text: Tensor | None, random: torch.Generator
    ) -> Condition:
        lengths = self.codec.latent_lengths(torch.full((count,), length))
        labels = self._labels(count, label, random)
        condition = Condition.of(labels, 1)._replace(lengths=lengths)
        if text is None:
            return condition if self.label_text is None else condition._replace(text=self.label_text[labels])
        if self.denoiser.text == 0 or text.shape[-1] != self.denoiser.text:
            raise InputError(
                f"a text of {text.shape[-1]} numbers: this generator takes {self.denoiser.text or 'no text'}"
            )
        # No longer than in training, however it was embedded.
        text = text / text.norm(dim=-1, keepdim=True).clamp_min(1.0)
        return condition._replace(text=text.expand(count, -1))

    def nearest_label(self, text: Tensor) -> str | None:
        """The label whose public sentence is nearest to `text` `[size]`; None without labels or text."""
        if self.label_text is None or not self.codec.labels:
            return None
        return self.codec.labels[int((self.label_text[:-1] @ text).argmax())]

    def _labels(self, count: int, label: str | None, random: torch.Generator) -> Tensor:
        if label is not None:
            return torch.full((count,), self.codec.label_index(label))
        points = (torch.randperm(count, generator=random) + torch.rand(1, generator=random)) / count
        edges = torch.cumsum(self.label_prior / self.label_prior.sum(), dim=0)
        last = int(torch.nonzero(self.label_prior)[-1])
        return torch.searchsorted(edges, points, right=True).clamp_max(last)

    def _denoise(self, condition: Condition, guidance: float) -> Denoise:
        null = condition.without(len(self.codec.labels))
        return guided(partial(self._denoised, condition), partial(self._denoised, null), guidance)

    def _denoised(self, condition: Condition, x: Tensor, sigma: Tensor) -> Tensor:
        return self.diffusion.denoised(self.denoiser, self.parameters, x, sigma.expand(len(x)), condition)
