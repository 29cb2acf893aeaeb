"""Public frequencies and the characteristic functions of latents at them."""

from __future__ import annotations

from math import sqrt
from typing import Final

import torch
from torch import Tensor

FREQUENCIES: Final = ("ordered", "gaussian")


def drawn_frequencies(kind: str, count: int, latent: int, bandwidth: float, seed: int) -> Tensor:
    """`[count, latent]`, their squared norm latent / bandwidth^2.

    `gaussian`: of every direction, whose mean is that square: the spectrum of a Gaussian kernel (Rahimi
    and Recht, NeurIPS 2007). `ordered`: each coordinate alone, then sums and differences of two, in an
    order drawn by `seed`, then directions of `gaussian`: what says most about marginals and correlations
    comes first.
    """
    random = torch.Generator().manual_seed(seed)
    if kind == "gaussian":
        return torch.randn(count, latent, generator=random) / bandwidth
    first, second = torch.triu_indices(latent, latent, offset=1)
    order = torch.randperm(2 * len(first), generator=random)[: max(count - latent, 0)]
    pairs = torch.zeros(len(order), latent)
    rows, which = torch.arange(len(order)), order // 2
    pairs[rows, first[which]] = sqrt(0.5)
    pairs[rows, second[which]] = torch.where(order % 2 == 0, 1.0, -1.0) * sqrt(0.5)
    single = torch.cat([torch.eye(latent), pairs])[:count] * sqrt(latent) / bandwidth
    rest = torch.randn(count - len(single), latent, generator=random) / bandwidth
    return torch.cat([single, rest])


def waves(frequencies: Tensor, x: Tensor) -> Tensor:
    """[cos(W x), sin(W x)] / sqrt(count) less what N(0, I) would give: `[..., 2 * count]`.

    The mean of exp(i w x) over N(0, I) is exp(-|w|^2 / 2). Without it a vector has norm 1, most of which
    everybody shares and nobody needs to be told; less it, a tighter clip does as well.
    """
    angles = x @ frequencies.T
    expected = torch.exp(-frequencies.square().sum(dim=1) / 2)
    return torch.cat([torch.cos(angles) - expected, torch.sin(angles)], dim=-1) / sqrt(len(frequencies))
