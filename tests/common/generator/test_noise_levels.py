"""Distributions of sigma, against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from common.generator.noise_levels import NOISE_LEVELS, NoiseLevels, cosine, sigma_vp, stratified, time_vp

UNIFORM = (torch.arange(4000) + 0.5) / 4000


def _logs(kind: str, **options: float) -> Tensor:
    return torch.log(NoiseLevels(kind, **options).sigma(UNIFORM))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NOISE_LEVELS)
def test_sigma_is_positive_and_rises_with_the_draw(kind: str) -> None:
    sigma = NoiseLevels(kind).sigma(UNIFORM)
    assert sigma.dtype == torch.float32
    assert (sigma > 0).all() and sigma.isfinite().all()
    assert (sigma.diff() >= 0).all()
    ends = NoiseLevels(kind).sigma(torch.tensor([0.0, 1.0]))
    assert (ends > 0).all() and ends.isfinite().all()


def test_strata_hold_one_draw_each_and_ln_sigma_is_normal() -> None:
    draws = stratified(torch.rand(500, 8))
    assert torch.equal((draws * 8).floor(), torch.arange(8.0).expand(500, -1))
    logs = torch.log(NoiseLevels("lognormal", -0.4, 1.1).sigma(draws))
    assert float(logs.mean()) == pytest.approx(-0.4, abs=0.02)
    assert float(logs.std()) == pytest.approx(1.1, abs=0.03)


def test_v_lies_between_log_snr_13_and_minus_9() -> None:
    for kind in ("angle", "log_snr"):
        logs = _logs(kind)
        assert float(logs.min()) >= -6.5 and float(logs.max()) <= 4.5
    assert torch.allclose(_logs("log_snr"), -6.5 + 11 * UNIFORM, atol=1e-4)
    time = 2 / math.pi * torch.arctan(torch.exp(_logs("angle")))
    assert float(time.diff().std()) < 1e-6 * 4000 * float(time.diff().mean())
    assert float(_logs("angle").median()) == pytest.approx(0, abs=0.03)


def test_ve_and_vp_are_the_usual_ones() -> None:
    assert torch.allclose(_logs("ve"), math.log(0.02) + math.log(5000) * UNIFORM, atol=1e-4)
    t = torch.tensor([1e-5, 0.1, 0.5, 1.0], dtype=torch.float64)
    assert torch.allclose(sigma_vp(t), torch.sqrt(torch.exp(19.9 * t**2 / 2 + 0.1 * t) - 1))
    assert torch.allclose(time_vp(sigma_vp(t)), t, rtol=1e-6)
    # alpha-bar of VP is exp(-integral of beta), and sigma^2 = 1 / alpha-bar - 1.
    fine = torch.linspace(0, 0.5, 100_001, dtype=torch.float64)
    integral = torch.trapezoid(0.1 + 19.9 * fine, fine)
    assert float(1 / (1 + sigma_vp(fine[-1]) ** 2)) == pytest.approx(float(torch.exp(-integral)), rel=1e-6)


def test_cosine_steps_are_those_of_mdm() -> None:
    """The betas of Nichol and Dhariwal's schedule, one by one."""
    for steps in (50, 1000):
        kept, expected = 1.0, []
        for t in range(steps):
            now, after = (math.cos((u / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for u in (t, t + 1))
            kept *= 1 - min(1 - after / now, 0.999)
            expected.append(math.sqrt(1 / kept - 1))
        assert torch.allclose(cosine(steps), torch.tensor(expected, dtype=torch.float64), rtol=1e-6)
    drawn = NoiseLevels("cosine", steps=50).sigma(UNIFORM)
    values, counts = torch.unique(drawn, return_counts=True)
    assert torch.allclose(values, cosine(50).float()) and (counts == 80).all()
