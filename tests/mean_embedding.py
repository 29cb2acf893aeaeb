"""People whose latents are not the public ones, and how far a fitted generator is from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from common.generator.assets import Assets, under
from common.generator.mean_embedding import MeanEmbedding
from common.methods import build
from tests.small_site import CODEC, LABELS

SMALL: dict[str, Any] = {"points": 300, "fit_steps": 300, "width": 32, "depth": 1, "fit_rate": 1e-2}
PEOPLE, MOTIONS = 200, 3
SHIFT = 1.5


def made(name: str, **options: Any) -> MeanEmbedding:
    method = build(name, {**SMALL, **options}, Assets(CODEC))
    assert isinstance(method, MeanEmbedding)
    return method


def people() -> dict[str, Tensor]:
    """Each does `LABELS[0]`, moved along the first coordinate, and `LABELS[1]`, which is as the public's."""
    random = torch.Generator().manual_seed(3)
    latents = torch.randn(PEOPLE, MOTIONS, CODEC.latent, generator=random)
    labels = torch.arange(MOTIONS).expand(PEOPLE, MOTIONS) % 2
    latents[labels == 0, 0] += SHIFT
    return {"latents": latents, "labels": labels, "mask": torch.ones(PEOPLE, MOTIONS, dtype=torch.bool)}


def released(method: MeanEmbedding, noise: float) -> Tensor:
    """The mean contribution of `people` with `noise` on each number."""
    state = method.init(0)
    mean = method.contributions(method.parameters(state), people()).mean(dim=0)
    return mean + noise * torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))


def drawn_mean(method: MeanEmbedding, noise: float) -> Tensor:
    """Means by label `[labels, latent]` of what the generator draws after one round."""
    state = method.update(method.init(0), released(method, noise), noise)
    generator = method.generator(state)
    random, means = torch.Generator().manual_seed(7), []
    for index in range(len(LABELS)):
        condition = method.condition_of(torch.full((500,), index))
        levels = torch.tensor([30.0, 8.0, 3.0, 1.0, 0.5, 0.2, 0.02, 0.0])

        def denoise(x: Tensor, sigma: Tensor, condition: Any = condition) -> Tensor:
            return method.diffusion.denoised(
                method.network, generator.parameters, x, sigma.expand(len(x)), condition
            )

        with torch.no_grad():
            means.append(generator.sampler.draw(denoise, (500, CODEC.latent), levels, random).mean(dim=0))
    return torch.stack(means)


def moved_points(method: MeanEmbedding, claimed: float) -> tuple[Tensor, Tensor]:
    """The synthetic latents after a release said to carry `claimed` noise, and as they started."""
    state = method.init(0)
    mean = released(method, 0.0).reshape(len(LABELS) + 1, -1)
    points, labels, _ = method.synthetic(under("features/", state.arrays), mean, claimed, 0)
    start = method.public_points(labels, 0)
    return points.unflatten(0, (len(LABELS), -1)), start.unflatten(0, (len(LABELS), -1))
