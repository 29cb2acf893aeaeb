"""A denoiser trained on latents that are public: what was released, or motions nobody protects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor

from common.generator.adam import ADAM
from common.generator.assets import under
from common.generator.condition import Condition
from common.generator.design import number
from common.generator.onlooker import steps
from common.generator.shared import SharedGenerator

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""How many to latents `[n, latent]` and their labels `[n]`, as a generator wishes."""


class _Random:
    """Draws of a batch on public data, as `common.generator.objective.Random`."""

    def __init__(self, count: int, random: torch.Generator) -> None:
        self._count, self._random = count, random

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._count, *shape, generator=self._random)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self._count, *shape, generator=self._random)


@dataclass(frozen=True, kw_only=True)
class FittedGenerator(SharedGenerator):
    """A generator fitted to what was released: post-processing, whose size costs no noise.

    `fit_steps` steps of Adam at `fit_rate`, falling to zero as half a cosine, each on `fit_batch`
    latents at one noise level each.
    """

    training = SharedGenerator.training | {"fit_steps", "fit_batch", "fit_rate"}

    width: int = number(128, 1, 2048)
    depth: int = number(2, 0, 16)
    fit_steps: int = number(3000, 1, 10_000_000)
    fit_batch: int = number(256, 1, 65_536)
    fit_rate: float = number(3e-3, 1e-7, 1.0)

    def fitted(self, draw: Draw, start: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
        """The parameters after training from `start` on what `draw` gives; averaged, 0.999."""
        objective = self.objective_of(self.assets, self.network, replicas=1)
        random = torch.Generator().manual_seed(seed)
        arrays = ADAM.start(start)
        for step in steps("fitting the generator", self.fit_steps):
            latents, labels = draw(self.fit_batch, random)
            examples = self._examples(
                objective.draw(1, _Random(len(latents), random)), latents, labels, random
            )
            moving = {n: v.detach().requires_grad_() for n, v in under("parameters/", arrays).items()}
            loss = objective.losses(moving, examples).mean()
            found = torch.autograd.grad(
                loss, list(moving.values()), materialize_grads=True, allow_unused=True
            )
            rate = self.fit_rate * 0.5 * (1 + cos(pi * step / self.fit_steps))
            arrays = ADAM.moved(arrays, dict(zip(moving, found, strict=True)), step + 1, rate, 0.999)
        return under("ema/", arrays)

    def public_draw(self, latents: Tensor, labels: Tensor, seed: int) -> Draw:
        """What the generator is fitted to where nobody takes part: public `latents` `[n, latent]`.

        A method that brings public motions of its own fits those.
        """
        return resampled(latents, labels)

    def _examples(
        self, drawn: Mapping[str, Tensor], latents: Tensor, labels: Tensor, random: torch.Generator
    ) -> dict[str, Tensor]:
        condition = Condition(*(part[:, None] for part in self.condition_of(labels)))
        dropped = torch.rand(len(labels), 1, generator=random) < self.label_dropout
        condition = condition.dropped(dropped, len(self.assets.codec.labels))
        return {"latents": latents[:, None], **condition._asdict(), **drawn}


def resampled(latents: Tensor, labels: Tensor, weights: Tensor | None = None) -> Draw:
    """Draws from a fixed set, evenly or by `weights` `[n]`."""
    chances = torch.ones(len(latents)) if weights is None else weights

    def draw(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.multinomial(chances, count, replacement=True, generator=random)
        return latents[rows], labels[rows]

    return draw
