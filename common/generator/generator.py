"""The shared generator: public codec, denoiser, parameters, and how to draw motions from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.condition import Condition
from common.generator.denoisers import ResidualMLP
from common.generator.diffusion import Preconditioning
from common.generator.samplers import Churn, Denoise, guided, heun

UNLABELLED: Final = "unlabelled"
"""The name of a sample drawn without a label."""

_BATCH: Final = 4096


@dataclass(frozen=True, eq=False)
class Generator:
    """`label_prior` `[labels + 1]` is public; its last entry is for motions without a label.

    `label_text` `[labels + 1, size]` are the texts that stand for labels where none is given (None:
    the generator knows no text).
    """

    codec: Codec
    denoiser: ResidualMLP
    parameters: Mapping[str, Tensor]
    label_prior: Tensor
    preconditioning: Preconditioning = field(default_factory=Preconditioning)
    label_text: Tensor | None = None

    def sample(
        self,
        count: int,
        label: str | None = None,
        seed: int = 0,
        *,
        steps: int = 24,
        stochastic: bool = False,
        guidance: float = 0.0,
        text: Tensor | None = None,
    ) -> tuple[Tensor, list[str]]:
        """Draw `count` motions: joints `[count, 60, 22, 3]` metres or sensor windows, and their labels.

        `label` None draws labels from the prior, in shares as even as `count` allows. `text` `[size]`
        embeds a sentence. The same arguments give the same motions. Raises InputError for an unknown
        label.
        """
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        random = torch.Generator().manual_seed(seed)
        labels = self._labels(count, label, random)
        churn = Churn() if stochastic else None
        pieces = []
        for part in labels.split(_BATCH):
            denoise = self._denoise(part, guidance, text)
            latents = heun(denoise, (len(part), self.codec.latent), random, steps=steps, churn=churn)
            pieces.append(self.codec.decode(latents, part, random))
        names = [*self.codec.labels, UNLABELLED]
        return torch.cat(pieces), [names[i] for i in labels.tolist()]

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

    def _denoise(self, labels: Tensor, guidance: float, text: Tensor | None) -> Denoise:
        condition = Condition.of(labels, self.codec.frames)
        if self.label_text is not None:
            told = self.label_text[labels] if text is None else text.expand(len(labels), -1)
            condition = condition._replace(text=told)
        null = condition.without(len(self.codec.labels))
        return guided(self._conditional(condition), self._conditional(null), guidance)

    def _conditional(self, condition: Condition) -> Denoise:
        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            levels = sigma.expand(len(x))
            return self.preconditioning.denoised(self.denoiser, self.parameters, x, levels, condition)

        return denoise
