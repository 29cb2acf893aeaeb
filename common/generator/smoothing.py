"""Draws from a small weighted set of latents, smoothed so that a generator does not learn its points."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Smoothed = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""How many to latents `[n, latent]` and their labels `[n]`."""


def smoothed(latents: Tensor, labels: Tensor, weights: Tensor, prior: Tensor, width: float) -> Smoothed:
    """Draws from `latents` `[n, latent]` of `labels` `[n]`, by `weights` `[n]` within a label.

    Labels are drawn by `prior` `[labels + 1]`, of those that occur; one whose weights are all zero is
    drawn evenly. The kernel is Gaussian, of `width` h times the label's own covariance C, about points
    drawn together towards the mean m: x' = m + sqrt(1 - h^2) (x - m) + h C^(1/2) z (West, 1993,
    "Approximating posterior distributions by mixture"), so that smoothing leaves mean and covariance as
    they are: 0 draws the points, 1 a Gaussian.
    """
    chances = torch.zeros(len(latents), dtype=torch.float64)
    means, roots = torch.zeros_like(latents), torch.zeros(len(prior), *[latents.shape[1]] * 2)
    for label in torch.unique(labels).tolist():
        rows = torch.nonzero(labels == label)[:, 0]
        shares = _shares(weights[rows].double())
        chances[rows] = shares * float(prior[label])
        mean, root = _moments(latents[rows].double(), shares)
        means[rows], roots[label] = mean.float(), root.float()
    points = means + (1 - width**2) ** 0.5 * (latents - means)

    def draw(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.multinomial(chances, count, replacement=True, generator=random)
        z = torch.randn(count, latents.shape[1], generator=random)
        own = labels[rows]
        return points[rows] + width * spread(z, roots, own), own

    return draw


def spread(z: Tensor, roots: Tensor, labels: Tensor) -> Tensor:
    """Each row of `z` `[n, latent]` under its label's root `[labels, latent, latent]`: `[n, latent]`.

    By label: a root for each row would be latent times the rows.
    """
    found = torch.empty_like(z)
    for label in torch.unique(labels).tolist():
        rows = torch.nonzero(labels == label)[:, 0]
        found[rows] = z[rows] @ roots[label].T
    return found


def _shares(weights: Tensor) -> Tensor:
    total = weights.sum()
    return weights / total if float(total) > 0 else torch.full_like(weights, 1 / len(weights))


def _moments(points: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean `[latent]` and a root of the covariance `[latent, latent]`.

    The public prior N(0, I) counts as one point among the effective number 1 / sum(shares^2), so that
    few points still have a spread in every direction.
    """
    mean = shares @ points
    apart = points - mean
    effective = 1 / float(shares.square().sum())
    found = torch.einsum("n,ni,nj->ij", shares, apart, apart)
    size = points.shape[1]
    covariance = (effective * found + torch.eye(size, dtype=points.dtype)) / (1 + effective)
    values, vectors = torch.linalg.eigh(covariance)
    return mean, vectors * values.clamp_min(0.0).sqrt()
