"""One release of mean random features of latents for each action.

Harder, Adamczewski and Park, "DP-MERF: differentially private mean embeddings with random features"
(AISTATS 2021): phi(x) = [cos(W x), sin(W x)] / sqrt(count), of norm 1, at public frequencies W; what is
released is the mean over people of phi(x) (x) onehot(y), once, and a generator is fitted to it by the
maximum mean discrepancy.

Changed here: the unit is a person, whose vector is the mean over all motions; phi is taken less its mean
over the public prior N(0, I) of latents; frequencies may be sparse and ordered; beside each action's
features stands its share. What is fitted by MMD are synthetic latents, which start as public ones and
stop where the noise explains the rest (`common.generator.moved`); the shared denoiser is trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from common.generator.design import choice, number
from common.generator.frequencies import FREQUENCIES, drawn_frequencies, waves
from common.generator.mean_embedding import MeanEmbedding
from common.method import Prospect


@dataclass(frozen=True, kw_only=True)
class DPMERF(MeanEmbedding):
    """Mean random Fourier features.

    `count`: frequencies, each a cosine and a sine. `bandwidth`: of the kernel, in units of the
    public standard deviation of a latent. `frequencies`: common/generator/frequencies.py.
    """

    name: ClassVar[str] = "dp_merf"
    training: ClassVar[frozenset[str]] = MeanEmbedding.training | {"count", "bandwidth", "frequencies"}
    prospect: ClassVar[Prospect] = Prospect(least=0.1, most=1.0, half=0.8)

    count: int = number(512, 1, 100_000)
    bandwidth: float = number(10.0, 1e-3, 1e3)
    frequencies: str = choice("ordered", *FREQUENCIES)

    @property
    def size(self) -> int:
        return 2 * self.count

    def drawn_features(self, seed: int) -> dict[str, Tensor]:
        latent = self.assets.codec.latent
        drawn = drawn_frequencies(self.frequencies, self.count, latent, self.bandwidth, seed)
        return {"frequencies": drawn}

    def features(self, arrays: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        return waves(arrays["frequencies"], x)
