"""Diffusion as in EDM (Karras et al., 2022, "Elucidating the design space", table 1, column EDM).

sigma is the standard deviation of the diffusion's own noise, in units of the data's; it has
nothing to do with the noise of differential privacy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from common.generator.condition import Condition


class Denoiser(Protocol):
    """The network F as a pure function of its parameters."""

    def init(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters by name; F is zero there."""

    def apply(
        self, parameters: Mapping[str, Tensor], x: Tensor, c_noise: Tensor, condition: Condition
    ) -> Tensor:
        """F for `x` `[..., latent]`, `c_noise` and `condition` `[...]`: `[..., latent]`."""


@dataclass(frozen=True)
class Preconditioning:
    """D(x; sigma) = c_skip x + c_out F(c_in x, c_noise) (equation 7).

    With data of unit variance and zero mean around every label, F = 0 is already the
    posterior mean of a standard Gaussian, for every sigma.
    """

    sigma_data: float = 1.0

    def c_skip(self, sigma: Tensor) -> Tensor:
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def c_out(self, sigma: Tensor) -> Tensor:
        return sigma * self.sigma_data / torch.sqrt(sigma**2 + self.sigma_data**2)

    def c_in(self, sigma: Tensor) -> Tensor:
        return 1 / torch.sqrt(sigma**2 + self.sigma_data**2)

    def c_noise(self, sigma: Tensor) -> Tensor:
        return torch.log(sigma) / 4

    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), which makes the loss of F = 0 equal at every sigma (appendix B.6)."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2

    def denoised(
        self,
        denoiser: Denoiser,
        parameters: Mapping[str, Tensor],
        x: Tensor,
        sigma: Tensor,
        condition: Condition,
    ) -> Tensor:
        """D for `x` `[..., latent]`, `sigma` and `condition` `[...]`: `[..., latent]`."""
        s = sigma[..., None]
        inside = denoiser.apply(parameters, self.c_in(s) * x, self.c_noise(sigma), condition)
        return self.c_skip(s) * x + self.c_out(s) * inside


def log_normal_sigma(uniform: Tensor, P_mean: float, P_std: float) -> Tensor:
    """p(sigma): ln sigma is normal (table 1), from uniform draws in (0, 1) of any shape."""
    standard = torch.special.ndtri(uniform.to(torch.float64).clamp(1e-6, 1 - 1e-6))
    return torch.exp(P_mean + P_std * standard).to(torch.float32)


def stratified(uniform: Tensor) -> Tensor:
    """One draw in each of K equal strata of (0, 1), from `uniform` `[..., K]`."""
    strata = uniform.shape[-1]
    return (uniform + torch.arange(strata, device=uniform.device)) / strata
