"""One release of characteristic functions of latents, and a generator fitted under adversarial weights.

Liew, Takahashi and Ueno, "PEARL: data synthesis via private embeddings and adversarial reconstruction
learning" (ICLR 2022): the empirical characteristic function at k random frequencies is released once; the
generator minimises, and an adversary that re-weights the frequencies maximises, the distance
sum_i w_i |difference_i|^2, w_i = p(t_i; scale) / p(t_i; 1) for Gaussians whose scales are learnt.

Changed here: the unit is a person, and characteristic functions are those of each action, less what the
public prior gives; the bandwidth is a public option, on which no budget is spent (the paper releases
auxiliary values besides); the adversary is paid only for what the noise does not explain; weights have
mean 1 before they are bounded. What is fitted are synthetic latents (`common.generator.moved`), on which
the shared denoiser is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from common.generator.design import number
from common.generator.frequencies import drawn_frequencies, waves
from common.generator.mean_embedding import MeanEmbedding
from common.generator.moved import Weights


class Adversary:
    """Weights of `frequencies` `[k, latent]`, moved up the distance by one step at each call."""

    def __init__(self, frequencies: Tensor, noise: float, rate: float, most: float) -> None:
        spread = frequencies.square().mean(dim=0).sqrt().clamp_min(1e-12)
        self._squares = (frequencies / spread).square()
        self._noise, self._rate, self._most = noise, rate, most
        self._scales = torch.zeros(frequencies.shape[1])  # logarithms

    def __call__(self, difference: Tensor) -> Tensor:
        """Weights `[2 k]` after a step against `difference` `[labels, 2 k]`."""
        each = difference.square().sum(dim=0).unflatten(0, (2, -1)).sum(dim=0)
        gain = each - 2 * len(difference) * self._noise**2
        scales = self._scales.clone().requires_grad_()
        (g,) = torch.autograd.grad((self._weights(scales) * gain).sum(), scales)
        self._scales = (self._scales + self._rate * g / g.abs().max().clamp_min(1e-30)).clamp(-1.0, 1.0)
        return self._weights(self._scales).repeat(2)

    def _weights(self, scales: Tensor) -> Tensor:
        """p(t; scales) / p(t; 1), at most `most` and of mean 1 as nearly, `[k]`."""
        ratio = (-0.5 * self._squares * (torch.exp(-2 * scales) - 1) - scales).sum(dim=1)
        weights = torch.softmax(ratio, dim=0) * len(ratio)
        return weights.clamp(1 / self._most, self._most)


@dataclass(frozen=True, kw_only=True)
class PEARL(MeanEmbedding):
    """Characteristic functions under adversarial weights.

    `count`: frequencies, each a real and an imaginary part. `bandwidth`: they are drawn from
    N(0, 1 / bandwidth^2). `adversary_rate`: how far a step moves the logarithm of a scale; 0 is without
    an adversary. `most_weight`: the largest weight of a frequency, and one over the smallest.
    """

    name: ClassVar[str] = "pearl"
    training: ClassVar[frozenset[str]] = MeanEmbedding.training | {
        "count", "bandwidth", "adversary_rate", "most_weight"
    }  # fmt: skip

    count: int = number(512, 1, 100_000)
    bandwidth: float = number(10.0, 1e-3, 1e3)
    adversary_rate: float = number(0.01, 0.0, 1.0)
    most_weight: float = number(4.0, 1.0, 1e3)

    @property
    def size(self) -> int:
        return 2 * self.count

    def drawn_features(self, seed: int) -> dict[str, Tensor]:
        latent = self.assets.codec.latent
        return {"frequencies": drawn_frequencies("gaussian", self.count, latent, self.bandwidth, seed)}

    def features(self, arrays: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        return waves(arrays["frequencies"], x)

    def weights(self, arrays: Mapping[str, Tensor], noise: float) -> Weights:
        return Adversary(arrays["frequencies"], noise, self.adversary_rate, self.most_weight)
