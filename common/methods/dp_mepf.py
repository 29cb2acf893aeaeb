"""One release of the mean and mean square of a public network's features of latents, for each action.

Harder, Jalali Asadabadi, Sutherland and Park, "Pre-trained perceptual features improve differentially
private image generation" (TMLR 2023): phi_1 are activations of a network trained on public data, phi_2
their squares; the means of both are released once, and a generator is fitted to them.

Changed here: the unit is a person; both moments are one vector under one clip; features of motions come
from the codec and, where a run starts from public parameters, from the public denoiser, through a fixed
random layer; they are taken less their mean over the public prior and over its deviation, not each
normalised; what is fitted are synthetic latents (`common.generator.moved`), on which the shared denoiser
is trained.

Sensitivity. The published code takes b / N for the mean of phi_2 when one of N records is replaced, as
though non-negative vectors of norm b lay within b of each other; two with disjoint supports lie sqrt(2) b
apart, so its noise is too small by that factor. Here one person is added or removed: the sum moves by that
person's own clipped vector, whose norm is at most C whatever its signs. There is no factor to forget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.nn.functional import silu

from common.errors import InputError
from common.generator.design import choice, number
from common.generator.mean_embedding import MeanEmbedding

_LEVELS: Final = (0.5, 1.0, 2.0)  # of noise, at which the public denoiser is asked
_PROBES: Final = 4096  # public latents over which a feature's mean and deviation are taken


@dataclass(frozen=True, kw_only=True)
class DPMEPF(MeanEmbedding):
    """Moments of public features.

    `units`: features. `source`: `latents` of the codec, or those and what the public `denoiser` makes of
    them, which needs a run that starts from public parameters. `moments`: `both`, or the `first` alone.
    `spread`: standard deviation of the fixed layer's biases, and of what it adds up.
    """

    name: ClassVar[str] = "dp_mepf"
    training: ClassVar[frozenset[str]] = MeanEmbedding.training | {"units", "source", "moments", "spread"}

    units: int = number(256, 1, 100_000)
    source: str = choice("latents", "latents", "denoiser")
    moments: str = choice("both", "both", "first")
    spread: float = number(1.0, 1e-3, 1e3)

    def __post_init__(self) -> None:
        if self.source == "denoiser" and not self.assets.base:
            raise InputError(
                "source = denoiser takes features of public parameters, and this run starts from none:"
                " give --pretrained, or set source = latents"
            )

    @property
    def size(self) -> int:
        return self.units * (2 if self.moments == "both" else 1)

    @cached_property
    def _inputs(self) -> int:
        asked = len(_LEVELS) if self.source == "denoiser" else 0
        return self.assets.codec.latent * (1 + asked)

    def drawn_features(self, seed: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(seed)
        layer = torch.randn(self.units, self._inputs, generator=random) * self.spread / sqrt(self._inputs)
        arrays = {"layer": layer, "bias": torch.randn(self.units, generator=random) * self.spread}
        labels = self.drawn_labels(_PROBES, random)
        x = torch.randn(_PROBES, self.assets.codec.latent, generator=random)
        plain = self._plain(arrays, x, labels)
        deviation = plain.std(dim=0).clamp_min(1e-3)
        return arrays | {"mean": plain.mean(dim=0), "deviation": deviation}

    def features(self, arrays: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        plain = self._plain(arrays, x, labels)
        return (plain - arrays["mean"]) / arrays["deviation"] / sqrt(self.size)

    def _plain(self, arrays: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        """[h, h^2] `[..., size]`, h the activations of the fixed layer."""
        inputs = torch.cat([x, *self._asked(x, labels)], dim=-1)
        h = silu(inputs @ arrays["layer"].T + arrays["bias"])
        return h if self.moments == "first" else torch.cat([h, h.square()], dim=-1)

    def _asked(self, x: Tensor, labels: Tensor) -> list[Tensor]:
        """What the public denoiser takes `x` for at each level of noise."""
        if self.source == "latents":
            return []
        base = {name: value.to(x.device) for name, value in self.assets.base.items()}
        condition = self.condition_of(labels.cpu())
        condition = type(condition)(*(part.to(x.device) for part in condition))
        levels = [torch.full(labels.shape, level, device=x.device) for level in _LEVELS]
        return [self.diffusion.denoised(self.network, base, x, level, condition) for level in levels]
