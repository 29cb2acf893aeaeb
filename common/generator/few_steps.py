"""A generator that is trained through its own sampler of a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from common.generator.denoisers.denoiser import Parameters
from common.generator.design import number
from common.generator.generator import Generator
from common.generator.samplers import Sampler, noise_levels
from common.generator.shared import SharedGenerator


@dataclass(frozen=True, kw_only=True)
class FewStepGenerator(SharedGenerator):
    """What it draws is differentiable in its parameters, and drawn alike after training.

    `draw_steps`: steps of DDIM from noise to a latent, each one call of the denoiser.
    """

    training = SharedGenerator.training

    draw_steps: int = number(3, 2, 64)

    @property
    def sampler(self) -> Sampler:
        return Sampler(name="ddim", steps=self.draw_steps)

    def drawn(self, parameters: Parameters, labels: Tensor, random: torch.Generator) -> Tensor:
        """Latents of `labels` `[n]`, `[n, latent]`, with their way back to `parameters`."""
        row = self.diffusion.preconditioning
        levels = noise_levels(self.draw_steps, row.sigma_min, row.sigma_max, row.spacing)
        condition = self.condition_of(labels)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.diffusion.denoised(self.network, parameters, x, sigma.expand(len(x)), condition)

        shape = (len(labels), self.assets.codec.latent)
        return self.sampler.draw(denoise, shape, levels, random)

    def few_step_generator(self, parameters: Mapping[str, Tensor]) -> Generator:
        """The generator that draws as it was trained."""
        return self.generator_of(parameters, self.sampler)
