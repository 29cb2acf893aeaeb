"""Diffusion in the terms of EDM (Karras et al., 2022, "Elucidating the design space", table 1).

sigma is the standard deviation of the diffusion's own noise, in units of the data's; it has
nothing to do with the noise of differential privacy. Codecs give latents of unit variance, so
sigma_data is 1 throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Level, Network, valid
from common.generator.noise_levels import time_vp

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Preconditioning:
    """A row of the table: D(x; sigma) = c_skip x + c_out F(c_in x, c_noise) (equation 7).

    `noise_levels` is the p(sigma) that its authors trained with. Samples start from `sigma_max` and
    end with a step from `sigma_min` to zero; between them `spacing` says how levels fall.
    """

    c_skip: Function
    c_out: Function
    c_in: Function
    c_noise: Function
    noise_levels: str
    sigma_min: float
    sigma_max: float
    spacing: str = "karras"

    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma) = 1 / c_out^2: the loss is that of F, alike at every sigma (appendix B.6)."""
        return self.c_out(sigma) ** -2

    def mean(self, sigma: Tensor) -> Tensor:
        """What F takes for one unit of mean: the optimal D of N(m, 1) is (x + sigma^2 m) / (1 + sigma^2)."""
        return sigma**2 * _near(sigma) / self.c_out(sigma)

    def spread(self, sigma: Tensor) -> Tensor:
        """By how much of its input F may correct the variance; at most 1 for EDM and v.

        Where F = 0 is not yet the denoiser of N(0, 1), it is what makes it so.
        """
        if self.c_skip is _near:
            return 2 * sigma * _near(sigma)
        return (_near(sigma) - self.c_skip(sigma)) / (self.c_out(sigma) * self.c_in(sigma))


def _near(sigma: Tensor) -> Tensor:
    return 1 / (1 + sigma**2)


def _unit(sigma: Tensor) -> Tensor:
    """c_in that gives noised data of unit variance unit variance."""
    return _near(sigma).sqrt()


def _angle(sigma: Tensor) -> Tensor:
    """Time in (0, 1) of a cosine schedule: alpha-bar = cos^2(pi t / 2)."""
    return 2 / torch.pi * torch.atan(sigma)


_ONE: Final[Function] = torch.ones_like
_ZERO: Final[Function] = torch.zeros_like

TABLE: Final[Mapping[str, Preconditioning]] = {
    # With sigma_data = 1, EDM and v are one network under two noise-level distributions.
    "edm": Preconditioning(
        _near, lambda s: s * _unit(s), _unit, lambda s: torch.log(s) / 4, "lognormal", 0.02, 30.0
    ),
    "v": Preconditioning(_near, lambda s: s * _unit(s), _unit, _angle, "angle", 0.002, 80.0),
    # Song et al. 2021; its M is 1 here, as our networks take time from 0 to 1.
    "vp": Preconditioning(_ONE, torch.neg, _unit, time_vp, "vp", 0.02, 30.0),
    # A quarter of its ln(s / 2), for the same reason.
    "ve": Preconditioning(_ONE, lambda s: s, _ONE, lambda s: torch.log(s / 2) / 4, "ve", 0.02, 30.0),
    # MDM (Tevet et al. 2023) and DDPM (Ho et al. 2020), of which sigma^2 = (1 - alpha-bar) / alpha-bar.
    "x0": Preconditioning(_ZERO, _ONE, _unit, _angle, "cosine", 0.02, 30.0, "angle"),
    "epsilon": Preconditioning(_ONE, torch.neg, _unit, _angle, "cosine", 0.02, 30.0, "angle"),
}

PARAMETERISATIONS: Final = tuple(TABLE)
WEIGHTINGS: Final = ("default", "uniform", "min_snr")
_MOST_SNR: Final = 5.0


@dataclass(frozen=True)
class Diffusion:
    """What a network's output means, and what its errors weigh."""

    parameterisation: str = "edm"
    weighting: str = "default"

    @property
    def preconditioning(self) -> Preconditioning:
        return TABLE[self.parameterisation]

    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), by which |D - y|^2 is multiplied.

        `default`: the parameterisation's own. `uniform`: 1. `min_snr`: min(1 / sigma^2, 5) (Hang et
        al., "Efficient diffusion training via min-SNR weighting strategy", ICCV 2023, section 3.4).
        """
        if self.weighting == "uniform":
            return torch.ones_like(sigma)
        if self.weighting == "min_snr":
            return (sigma**-2).clamp_max(_MOST_SNR)
        return self.preconditioning.weight(sigma)

    def level(self, sigma: Tensor) -> Level:
        """What the network is told of `sigma`."""
        row = self.preconditioning
        return Level(row.c_noise(sigma), row.mean(sigma), row.spread(sigma))

    def denoised(
        self,
        denoiser: Network,
        parameters: Mapping[str, Tensor],
        x: Tensor,
        sigma: Tensor,
        condition: Condition,
    ) -> Tensor:
        """D for `x` `[..., latent]`, `sigma` and `condition` `[...]`: `[..., latent]`; zero in padding."""
        row, s = self.preconditioning, sigma[..., None]
        x = unpadded(x, condition, denoiser)
        inside = denoiser.apply(parameters, row.c_in(s) * x, self.level(sigma), condition)
        return unpadded(row.c_skip(s) * x + row.c_out(s) * inside, condition, denoiser)


def unpadded(x: Tensor, condition: Condition, denoiser: Network) -> Tensor:
    """`x` `[..., latent]` with zeros, whatever stood there, in the frames that are padding."""
    if denoiser.frames == 1:
        return x
    motion = valid(condition.lengths, denoiser.frames)[..., None]
    frames = x.unflatten(-1, (denoiser.frames, denoiser.channels))
    return torch.where(motion, frames, 0.0).flatten(-2)
