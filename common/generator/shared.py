"""The generator that every method ends in: a denoiser on the latents of the public codec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser
from common.generator.design import Design
from common.generator.generator import Generator
from common.generator.samplers import Sampler


@dataclass(frozen=True, kw_only=True)
class SharedGenerator(Design):
    """A design with the public assets that it is built on."""

    assets: Assets = field(compare=False)

    @cached_property
    def network(self) -> Denoiser:
        return self.denoiser_of(self.assets, self.assets.text_size)

    def start(self, seed: int) -> dict[str, Tensor]:
        """All parameters of the denoiser before training: the public base, else drawn from `seed`."""
        return {name: value.clone() for name, value in (self.assets.base or self.network.init(seed)).items()}

    def generator_of(self, parameters: Mapping[str, Tensor], sampler: Sampler | None = None) -> Generator:
        """The generator with all its `parameters`; `sampler` is what it draws with unless told otherwise."""
        codec, encoder = self.assets.codec, self.assets.text
        return Generator(
            codec,
            self.network,
            parameters,
            codec.label_prior(),
            self.diffusion,
            None if encoder is None else encoder.labels,
            sampler or Sampler(),
        )

    def condition_of(self, labels: Tensor) -> Condition:
        """What motions of full length and `labels` `[n]` (the number of labels for none) are drawn for."""
        encoder = self.assets.text
        condition = Condition.of(labels, self.assets.codec.frames)
        return condition if encoder is None else condition._replace(text=encoder.labels[labels])

    def drawn_labels(self, count: int, random: torch.Generator) -> Tensor:
        """`count` labels from the codec's public prior, `[count]` int64."""
        prior = self.assets.codec.label_prior()
        return torch.multinomial(prior, count, replacement=True, generator=random)
