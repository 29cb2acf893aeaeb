"""What a denoiser is trained on: the denoising loss of sequences at random noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Network
from common.generator.diffusion import Diffusion, unpadded
from common.generator.geometry import Geometry
from common.generator.noise_levels import NoiseLevels, stratified


class Random(Protocol):
    """Draws with a leading axis of people, as `common.method.UserRandom`."""

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, `[users, *shape]`."""

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in (0, 1), `[users, *shape]`."""


@dataclass(frozen=True, eq=False)
class Objective:
    """lambda(sigma) |D(y + n; sigma, condition) - y|^2 (EDM, equation 2), `replicas` times a sequence.

    `geometric` times the losses of `geometry` are added, unweighted by sigma as in MDM.
    """

    denoiser: Network
    diffusion: Diffusion
    noise_levels: NoiseLevels
    replicas: int
    geometric: float = 0.0
    geometry: Geometry | None = None

    def draw(self, sequences: int, rng: Random) -> dict[str, Tensor]:
        """sigma `[users, sequences, K]`, in equal strata for each sequence, and noise."""
        uniform = stratified(rng.uniform(sequences, self.replicas))
        noise = rng.normal(sequences, self.replicas, self.denoiser.latent)
        return {"sigma": self.noise_levels.sigma(uniform), "noise": noise}

    def losses(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """The loss of each sequence, `[users, sequences]`; padding moves nothing.

        `examples` are `latents` `[users, sequences, latent]`, what `draw` drew, and the fields of
        `Condition` on `[users, sequences]`.
        """
        sigma = examples["sigma"]
        once = Condition(*(examples[name] for name in Condition._fields))
        y = unpadded(examples["latents"], once, self.denoiser)[:, :, None]
        condition = once.repeated(self.replicas)
        noised = y + sigma[..., None] * examples["noise"]
        found = self.diffusion.denoised(self.denoiser, parameters, noised, sigma, condition)
        each = self.diffusion.weight(sigma) * self._mean_square(found - y, condition)
        if self.geometry is not None:
            each = each + self.geometric * self.geometry.loss(found, y, condition.lengths)
        return each.mean(dim=-1)

    def _mean_square(self, error: Tensor, condition: Condition) -> Tensor:
        """Over the numbers of frames that are motion; `error` is zero in the others."""
        if self.denoiser.frames == 1:
            return error.square().mean(dim=-1)
        count = condition.lengths.clamp_min(1) * self.denoiser.channels
        return error.square().sum(dim=-1) / count


def masked_mean(each: Tensor, mask: Tensor) -> Tensor:
    """The mean `[users]` of `each` `[users, sequences]` where `mask` is True; 0 where it nowhere is."""
    total = torch.where(mask, each, torch.zeros_like(each)).sum(dim=1)
    return total / mask.sum(dim=1).clamp_min(1)
