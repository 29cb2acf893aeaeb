"""Public latents moved until their mean features are those that were released: post-processing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor

from common.generator.onlooker import steps

Features = Callable[[Tensor, Tensor], Tensor]
"""Latents `[..., latent]` and their labels `[...]` to features `[..., size]`."""

Weights = Callable[[Tensor], Tensor]
"""Differences `[labels, size]` to what each feature's square weighs, `[size]`."""

_BETA1, _BETA2, _TINY = 0.9, 0.99, 1e-20


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Descent of |target - share * mean of phi(points)|^2 for each label, by Adam on the points.

    The gradient flow of the maximum mean discrepancy (Arbel et al., NeurIPS 2019). `rate` falls to zero
    over `steps` as half a cosine. A label's points stop as soon as its difference is no larger than what
    the noise explains (the discrepancy principle of Morozov): they stay as near to the public ones as the
    release allows. Points are kept within `bound`.
    """

    steps: int
    rate: float
    bound: float

    def moved(
        self,
        points: Tensor,
        labels: Tensor,
        target: Tensor,
        shares: Tensor,
        features: Features,
        noise: float,
        weights: Weights | None = None,
    ) -> Tensor:
        """Where `points` `[labels, n, latent]` come to.

        `labels` and `shares` are `[labels]`, `target` `[labels, size]`, each of whose numbers carries noise
        of standard deviation `noise`. `weights` says, in each step, what the features weigh.
        """
        x = points.clone()
        told = labels[:, None].expand(x.shape[:2])
        first, second = torch.zeros_like(x), torch.zeros(len(x), 1, 1)
        explained = noise**2 * target.shape[1]
        for step in steps("moving public motions", self.steps):
            leaf = x.detach().requires_grad_()
            difference = shares[:, None] * features(leaf, told).mean(dim=1) - target
            squares = difference.detach().square()
            moving = squares.sum(dim=1) > explained
            if not bool(moving.any()):
                break
            weight = 1.0 if weights is None else weights(difference.detach())
            (g,) = torch.autograd.grad((weight * difference.square()).sum(), leaf)
            first = _BETA1 * first + (1 - _BETA1) * g
            second = _BETA2 * second + (1 - _BETA2) * g.square().mean(dim=(1, 2), keepdim=True)
            scale = (second / (1 - _BETA2 ** (step + 1))).sqrt() + _TINY
            rate = self.rate * 0.5 * (1 + cos(pi * step / self.steps)) / (1 - _BETA1 ** (step + 1))
            x = torch.where(moving[:, None, None], x - rate * first / scale, x).clamp(-self.bound, self.bound)
        return x
