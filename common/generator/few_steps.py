"""A generator that is trained through its own sampler of a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from common.generator.denoisers.denoiser import Parameters
from common.generator.design import number
from common.generator.generator import Generator
from common.generator.samplers import Sampler
from common.generator.shared import SharedGenerator


@dataclass(frozen=True, kw_only=True)
class FewStepGenerator(SharedGenerator):
    """What it draws is differentiable in its parameters, and drawn alike after training.

    `draw_steps`: steps from noise to a latent, each one call of the denoiser. They follow the flow of a
    Gaussian of unit variance, so that training starts from N(0, I) to the bit of rounding, the codec's public
    prior, or from what the public base draws in many steps: Euler steps (DDIM) so few would start from
    0.43 of the spread.
    """

    training: ClassVar[frozenset[str]] = SharedGenerator.training | {"draw_steps"}

    draw_steps: int = number(3, 2, 64)

    @property
    def sampler(self) -> Sampler:
        return Sampler(name="gaussian", steps=self.draw_steps)

    def start(self, seed: int) -> dict[str, Tensor]:
        """The public base; else a denoiser of N(0, I), which zeros are under EDM and v."""
        found, table = super().start(seed), "scale.weight"
        zero_is_normal = float(self.diffusion.preconditioning.c_skip(torch.ones(()))) == 0.5
        if not self.assets.base and not zero_is_normal and table in found:
            found[table] = torch.ones_like(found[table])
        return found

    def drawn(self, parameters: Parameters, labels: Tensor, random: torch.Generator) -> Tensor:
        """Latents of `labels` `[n]`, `[n, latent]`, with their way back to `parameters`."""
        row = self.diffusion.preconditioning
        levels = self.sampler.levels(row.sigma_min, row.sigma_max, row.spacing)
        condition = self.condition_of(labels)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.diffusion.denoised(self.network, parameters, x, sigma.expand(len(x)), condition)

        shape = (len(labels), self.assets.codec.latent)
        return self.sampler.draw(denoise, shape, levels, random)

    def few_step_generator(self, parameters: Mapping[str, Tensor]) -> Generator:
        """The generator that draws as it was trained."""
        return self.generator_of(parameters, self.sampler)
