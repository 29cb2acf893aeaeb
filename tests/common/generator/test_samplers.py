"""Samplers: the moments of a Gaussian, how fast they come, and what the papers' formulae say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.samplers import SAMPLERS, Sampler, ancestral, guided, noise_levels

MEAN, SPREAD = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.5])
COUNT = 6000
DRAWING = ("churn", "ddpm", "sde")


def gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact denoiser of N(MEAN, SPREAD^2)."""
    return MEAN + (x - MEAN) * SPREAD**2 / (SPREAD**2 + sigma**2)


def drawn(name: str, steps: int, spacing: str = "karras", seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    levels = noise_levels(steps, 0.02, 30.0, spacing)
    return Sampler(name=name, steps=steps).draw(gaussian, (COUNT, 2), levels, random)


def widened(x: Tensor) -> float:
    """By how much the deviation is off, as a share."""
    return float((x.std(dim=0) / SPREAD - 1).abs().max())


@pytest.mark.parametrize("spacing", ["karras", "angle"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_comes_to_the_distribution_as_steps_grow(name: str, spacing: str) -> None:
    x = drawn(name, 200, spacing)
    assert torch.allclose(x.mean(dim=0), MEAN, atol=0.06)
    assert widened(x) < 0.03
    fewer = drawn(name, 24, spacing)
    assert torch.allclose(fewer.mean(dim=0), MEAN, atol=0.12)


@pytest.mark.parametrize(("name", "steps", "within"), [
    ("heun", 24, 0.03), ("churn", 24, 0.06), ("dpm", 10, 0.1), ("dpm", 6, 0.15), ("ddim", 50, 0.1),
    ("ddpm", 50, 0.1), ("sde", 200, 0.05),
])  # fmt: skip
def test_how_many_steps_a_sampler_takes(name: str, steps: int, within: float) -> None:
    assert widened(drawn(name, steps)) < within


def test_second_order_needs_fewer_steps_than_first() -> None:
    """Against where the flow itself ends, from the same first noise."""
    end = drawn("heun", 400)
    errors = {
        (name, steps): float((drawn(name, steps) - end).abs().mean())
        for name in ("ddim", "dpm", "heun")
        for steps in (10, 20, 40)
    }
    for name, least in (("ddim", 1.7), ("dpm", 2.5), ("heun", 2.5)):
        assert errors[name, 10] > least * errors[name, 20] > least**2 * 0.8 * errors[name, 40]
    assert errors["dpm", 10] < 0.5 * errors["ddim", 10]


def test_those_that_draw_nothing_follow_one_flow() -> None:
    """The flow of a Gaussian is known: x - m falls as the root of its variance."""
    levels = noise_levels(400, 0.02, 30.0)
    start = levels[0] * torch.randn((COUNT, 2), generator=torch.Generator().manual_seed(0))
    end = MEAN + (start - MEAN) * SPREAD / torch.sqrt(SPREAD**2 + levels[0] ** 2)
    for name in ("heun", "dpm", "ddim"):
        assert torch.allclose(drawn(name, 400), end, atol=0.06)
    control = drawn("ddpm", 400)
    assert not torch.allclose(control, end, atol=0.5)


def test_an_ancestral_step_is_ddpms_posterior() -> None:
    """q(x_s | x_t, x_0) of Ho et al. (2020), equation 7, with x_t = sqrt(abar_t) x."""
    abar_t, abar_s = 0.3, 0.6
    now, after = ((1 / a - 1) ** 0.5 for a in (abar_t, abar_s))
    x_t, x_0 = torch.tensor([[0.7, -1.2]]), torch.tensor([[0.2, 0.4]])
    alpha = abar_t / abar_s
    mean = (abar_s**0.5 * (1 - alpha) * x_0 + alpha**0.5 * (1 - abar_s) * x_t) / (1 - abar_t)
    deviation = ((1 - abar_s) / (1 - abar_t) * (1 - alpha)) ** 0.5
    noise = torch.tensor([[1.3, -0.4]])
    found = ancestral(
        lambda x, s: x_0, x_t / abar_t**0.5, torch.tensor(now), torch.tensor(after), lambda: noise
    )
    assert torch.allclose(abar_s**0.5 * found, mean + deviation * noise, atol=1e-5)


def test_the_gaussian_flow_is_exact_for_any_mean_in_any_number_of_steps() -> None:
    """Unit variance only, which is what codecs give; Euler steps, the control, are far off."""

    def shifted(x: Tensor, sigma: Tensor) -> Tensor:
        return (x + sigma**2 * MEAN) / (1 + sigma**2)

    for steps in (2, 3, 10):
        ends = {}
        for name in ("gaussian", "ddim"):
            sampler, random = Sampler(name=name, steps=steps), torch.Generator().manual_seed(0)
            levels = sampler.levels(0.02, 30.0)
            assert len(levels) == steps + 1 and levels[-1] == 0 and (levels.diff() < 0).all()
            ends[name] = sampler.draw(shifted, (COUNT, 2), levels, random)
        start = 30.0 * torch.randn((COUNT, 2), generator=torch.Generator().manual_seed(0))
        exact = MEAN + (start - MEAN) / (1 + 30.0**2) ** 0.5
        assert torch.allclose(ends["gaussian"], exact, atol=1e-3)
        assert not torch.allclose(ends["ddim"], exact, atol=0.05)


def test_guidance_moves_away_from_no_condition() -> None:
    one, zero = torch.ones(3, 2), torch.tensor(1.0)
    towards = guided(lambda x, s: x + 1, lambda x, s: x, 2.0)
    assert torch.equal(towards(one, zero), one + 3)
    assert torch.equal(guided(lambda x, s: x + 1, lambda x, s: x, 0.0)(one, zero), one + 1)


@pytest.mark.parametrize("spacing", ["karras", "angle"])
def test_noise_levels_fall_from_the_largest_to_zero(spacing: str) -> None:
    levels = noise_levels(10, 0.02, 30.0, spacing)
    assert float(levels[0]) == pytest.approx(30.0, rel=1e-4)
    assert float(levels[-2]) == pytest.approx(0.02, rel=1e-4)
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()
    with pytest.raises(ValueError, match="steps"):
        noise_levels(1, 0.02, 30.0)


def test_unknown_samplers_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown sampler 'huen': did you mean heun"):
        Sampler(name="huen")
    with pytest.raises(InputError, match=r"unknown sampler 'x': choose from churn, heun"):
        Sampler(name="x")
    with pytest.raises(InputError, match="steps is 1: it must be from 2 to 1000"):
        Sampler(steps=1)
