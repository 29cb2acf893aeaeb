"""From noise to latents, with a denoiser D(x, sigma) and levels of sigma that fall to zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import atan, expm1, log, pi
from typing import Final

import torch
from torch import Tensor

from common.errors import InputError, way_out

Denoise = Callable[[Tensor, Tensor], Tensor]
"""D(x, sigma): `[n, latent]` and a scalar tensor to `[n, latent]`."""

SAMPLERS: Final = ("churn", "heun", "ddim", "dpm", "ddpm", "sde", "gaussian")
MOST_STEPS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How samples are drawn.

    | name | method | draws | D a step |
    |---|---|---|---|
    | `churn` | Heun with fresh noise in each step (EDM, algorithm 2) | yes | 2 |
    | `heun` | Heun's second-order method (EDM, algorithm 1) | no | 2 |
    | `ddim` | Euler steps (Song et al. 2021, DDIM) | no | 1 |
    | `dpm` | DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): few steps | no | 1 |
    | `ddpm` | ancestral, with the posterior's variance (Ho et al. 2020), as MDM samples | yes | 1 |
    | `sde` | Euler-Maruyama on the reverse equation (DPDM's "stochastic") | yes | 1 |
    | `gaussian` | the exact flow of N(m, 1), of the m that D implies; keeps N(0, 1) in any steps | no | 1 |

    More churn needs more steps: at 24, `S_churn` 5 widens a Gaussian by 2.5 % and 20 by 4 %.
    """

    name: str = "churn"
    steps: int = 24
    S_churn: float = 5.0
    S_min: float = 0.05
    S_max: float = 50.0
    S_noise: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise InputError(f"unknown sampler {self.name!r}: {way_out(self.name, SAMPLERS)}")
        if not 2 <= self.steps <= MOST_STEPS:
            raise InputError(f"steps is {self.steps}: it must be from 2 to {MOST_STEPS}")

    def levels(self, low: float, high: float, spacing: str = "karras") -> Tensor:
        """From `high` to zero, `[steps + 1]`: `noise_levels`, but evenly in the angle under `gaussian`."""
        if self.name != "gaussian":
            return noise_levels(self.steps, low, high, spacing)
        angles = torch.linspace(atan(high), 0, self.steps + 1, dtype=torch.float64)
        return torch.tan(angles).to(torch.float32)

    def draw(
        self, denoise: Denoise, shape: tuple[int, int], levels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Draw `shape` = (n, latent) samples along `levels` (see there)."""

        def noise() -> Tensor:
            return torch.randn(shape, generator=generator)

        x = levels[0] * noise()
        before: tuple[Tensor, Tensor] | None = None
        for now, after in pairwise(levels):
            match self.name:
                case "ddpm":
                    x = ancestral(denoise, x, now, after, noise)
                case "sde":
                    x = _maruyama(denoise, x, now, after, noise)
                case "dpm":
                    x, before = _multistep(denoise, x, now, after, before)
                case "gaussian":
                    x = _flowed(denoise, x, now, after)
                case "ddim":
                    x = x + (after - now) * (x - denoise(x, now)) / now
                case _:
                    if self.name == "churn":
                        x, now = self._churned(x, now, noise)
                    x = _heun(denoise, x, now, after)
        return x

    def _churned(self, x: Tensor, now: Tensor, noise: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """More noise, and the level that it makes (EDM, algorithm 2, lines 4 to 6)."""
        inside = self.S_min <= float(now) <= self.S_max
        gamma = min(self.S_churn / self.steps, 2**0.5 - 1) if inside else 0.0
        raised = now * (1 + gamma)
        spread = torch.sqrt((raised**2 - now**2).clamp_min(0.0))
        return x + self.S_noise * spread * noise(), raised


def noise_levels(
    steps: int, sigma_min: float, sigma_max: float, spacing: str = "karras", rho: float = 7.0
) -> Tensor:
    """t_0 = sigma_max > ... > t_(steps-1) = sigma_min, then 0: `[steps + 1]`.

    `karras`: evenly in sigma^(1/rho) (EDM, equation 5). `angle`: evenly in the time of a cosine
    schedule, sigma = tan(pi t / 2), as the steps of MDM lie.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    if spacing == "angle":
        low, high = (2 / pi * atan(sigma) for sigma in (sigma_min, sigma_max))
        levels = torch.tan(pi / 2 * (high + ramp * (low - high)))
    else:
        low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
        levels = (high + ramp * (low - high)) ** rho
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)]).to(torch.float32)


def _heun(denoise: Denoise, x: Tensor, now: Tensor, after: Tensor) -> Tensor:
    """One Euler step with Heun's correction; the last step, to 0, has no correction."""
    slope = (x - denoise(x, now)) / now
    euler = x + (after - now) * slope
    if after == 0:
        return euler
    return x + (after - now) * (slope + (euler - denoise(euler, after)) / after) / 2


def ancestral(denoise: Denoise, x: Tensor, now: Tensor, after: Tensor, noise: Callable[[], Tensor]) -> Tensor:
    """From q(x_after | x_now, x_0 = D): mean D + (after / now)^2 (x - D), variance after^2 (1 - that)."""
    kept = (after / now) ** 2
    clean = denoise(x, now)
    return clean + kept * (x - clean) + after * torch.sqrt(1 - kept) * noise()


def _maruyama(denoise: Denoise, x: Tensor, now: Tensor, after: Tensor, noise: Callable[[], Tensor]) -> Tensor:
    """Twice the slope of the flow, and as much fresh noise as that takes; the last step is the flow's."""
    slope = (x - denoise(x, now)) / now
    if after == 0:
        return x + (after - now) * slope
    return x + 2 * (after - now) * slope + torch.sqrt(2 * (now - after) * now) * noise()


def _flowed(denoise: Denoise, x: Tensor, now: Tensor, after: Tensor) -> Tensor:
    """The flow of N(m, 1): x - m falls as sqrt(1 + sigma^2), and D = (x + sigma^2 m) / (1 + sigma^2)."""
    clean = denoise(x, now)
    m = clean + (clean - x) / now**2
    return m + (x - m) * torch.sqrt((1 + after**2) / (1 + now**2))


def _multistep(
    denoise: Denoise, x: Tensor, now: Tensor, after: Tensor, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One step in lambda = -ln sigma, on D extrapolated from the last two levels; first order at both ends.

    `before` holds the level and D of the step before this one.
    """
    clean = denoise(x, now)
    if after == 0:
        return clean, (now, clean)
    h = log(float(now / after))
    towards = clean
    if before is not None:
        last, other = before
        r = log(float(last / now)) / h
        towards = (1 + 1 / (2 * r)) * clean - other / (2 * r)
    return (after / now) * x - expm1(-h) * towards, (now, clean)


def guided(conditional: Denoise, unconditional: Denoise, weight: float) -> Denoise:
    """Classifier-free guidance: D + weight (D - D_null); weight 0 is D itself."""
    if weight == 0:
        return conditional

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        wished = conditional(x, sigma)
        return wished + weight * (wished - unconditional(x, sigma))

    return denoise
