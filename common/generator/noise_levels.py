"""p(sigma): the noise levels at which a denoiser is trained, each from a uniform draw in (0, 1)."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, exp, log, pi
from typing import Final

import torch
from torch import Tensor

NOISE_LEVELS: Final = ("lognormal", "angle", "log_snr", "cosine", "vp", "ve")

_MOST_LOG_SNR, _LEAST_LOG_SNR = 13.0, -9.0  # of v (DPDM); log SNR = -2 ln sigma
_BETA_D, _BETA_MIN, _EPS_T = 19.9, 0.1, 1e-5  # of VP (Song et al. 2021)
_VE_MIN, _VE_MAX = 0.02, 100.0
_OFFSET, _MOST_BETA = 0.008, 0.999  # of the cosine schedule (Nichol and Dhariwal 2021, equation 17)


@dataclass(frozen=True)
class NoiseLevels:
    """One distribution of sigma.

    `lognormal`: ln sigma is N(P_mean, P_std^2) (EDM). `angle`: time t uniform, sigma = tan(pi t / 2),
    between log SNR 13 and -9 (DPDM's v). `log_snr`: log SNR uniform between the same. `cosine`: one of
    `steps` steps of the cosine schedule (MDM). `vp`: t uniform in (1e-5, 1). `ve`: ln sigma uniform
    between ln 0.02 and ln 100.
    """

    kind: str = "lognormal"
    P_mean: float = 0.0
    P_std: float = 1.2
    steps: int = 1000

    def sigma(self, uniform: Tensor) -> Tensor:
        """sigma, float32, from uniform draws in (0, 1) of any shape; it rises with them."""
        u = uniform.to(torch.float64)
        match self.kind:
            case "lognormal":
                drawn = torch.exp(self.P_mean + self.P_std * torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6)))
            case "angle":
                first, last = (2 / pi * atan(exp(-snr / 2)) for snr in (_MOST_LOG_SNR, _LEAST_LOG_SNR))
                drawn = torch.tan(pi / 2 * (first + (last - first) * u))
            case "log_snr":
                drawn = torch.exp(-(_MOST_LOG_SNR + (_LEAST_LOG_SNR - _MOST_LOG_SNR) * u) / 2)
            case "cosine":
                index = (u * self.steps).to(torch.int64).clamp_max(self.steps - 1)
                drawn = cosine(self.steps).to(u.device)[index]
            case "vp":
                drawn = sigma_vp(_EPS_T + (1 - _EPS_T) * u)
            case "ve":
                drawn = torch.exp(log(_VE_MIN) + log(_VE_MAX / _VE_MIN) * u)
            case _:
                raise ValueError(f"unknown distribution {self.kind!r}")
        return drawn.to(torch.float32)


def cosine(steps: int) -> Tensor:
    """sigma of each of `steps` steps, rising, float64: alpha-bar is the product of 1 - beta up to there."""
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    curve = torch.cos((u + _OFFSET) / (1 + _OFFSET) * pi / 2) ** 2
    beta = (1 - curve[1:] / curve[:-1]).clamp_max(_MOST_BETA)
    kept = torch.cumprod(1 - beta, dim=0)
    return torch.sqrt((1 - kept) / kept)


def sigma_vp(t: Tensor) -> Tensor:
    """sigma(t) of VP (EDM, table 1)."""
    return torch.sqrt(torch.expm1(_BETA_D * t**2 / 2 + _BETA_MIN * t))


def time_vp(sigma: Tensor) -> Tensor:
    """t(sigma), the inverse of `sigma_vp`."""
    return (torch.sqrt(_BETA_MIN**2 + 2 * _BETA_D * torch.log1p(sigma**2)) - _BETA_MIN) / _BETA_D


def stratified(uniform: Tensor) -> Tensor:
    """One draw in each of K equal strata of (0, 1), from `uniform` `[..., K]`."""
    strata = uniform.shape[-1]
    return (uniform + torch.arange(strata, device=uniform.device)) / strata
