"""Preconditioning, denoiser and samplers, against distributions whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.condition import Condition
from common.generator.denoisers import ResidualMLP
from common.generator.diffusion import Preconditioning, log_normal_sigma, stratified
from common.generator.samplers import Churn, guided, heun, noise_levels

NET = ResidualMLP(latent=5, labels=3, width=16, depth=2)
EDM = Preconditioning()


def test_zero_network_is_the_posterior_mean_of_a_standard_gaussian() -> None:
    x, sigma = torch.randn(40, 5), torch.rand(40) * 10 + 0.01
    labels = torch.randint(0, 4, (40,))
    denoised = EDM.denoised(NET, NET.init(0), x, sigma, Condition.of(labels, 1))
    assert torch.allclose(denoised, x / (1 + sigma[:, None] ** 2))


def test_the_shift_table_is_exact_for_a_gaussian_of_another_mean() -> None:
    parameters = NET.init(0)
    mean = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0])
    parameters["shift.weight"][1] = mean
    x, sigma = torch.randn(40, 5), torch.rand(40) * 10 + 0.01
    denoised = EDM.denoised(NET, parameters, x, sigma, Condition.of(torch.ones(40, dtype=torch.int64), 1))
    expected = mean + (x - mean) / (1 + sigma[:, None] ** 2)
    assert torch.allclose(denoised, expected, atol=1e-4)


def test_the_weight_makes_the_loss_of_the_network_flat_over_sigma() -> None:
    sigma = torch.tensor([0.01, 0.1, 1.0, 10.0, 80.0])
    assert torch.allclose(EDM.weight(sigma) * EDM.c_out(sigma) ** 2, torch.ones(5), rtol=1e-4)


def test_every_label_has_its_own_answer_and_axes_broadcast() -> None:
    random = torch.Generator().manual_seed(1)
    parameters = {n: v + 0.3 * torch.randn(v.shape, generator=random) for n, v in NET.init(0).items()}
    x = torch.randn(2, 3, 5)
    c_noise, condition = torch.zeros(2, 3), Condition.of(torch.tensor([[0, 1, 2], [3, 0, 1]]), 1)
    out = NET.apply(parameters, x, c_noise, condition)
    assert out.shape == x.shape
    alone = NET.apply(parameters, x[1, 0], c_noise[1, 0], Condition.of(torch.tensor(3), 1))
    assert torch.allclose(out[1, 0], alone, atol=1e-5)
    assert not torch.allclose(NET.apply(parameters, x, c_noise, condition.at(torch.tensor([1, 0]))), out)


def test_initial_parameters_follow_the_seed() -> None:
    first, same, other = NET.init(4), NET.init(4), NET.init(5)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["input.weight"], other["input.weight"])


def test_denoiser_of_another_kind_is_refused() -> None:
    assert ResidualMLP.from_description(NET.description()) == NET
    with pytest.raises(InputError, match="unknown denoiser 'unet'"):
        ResidualMLP.from_description({"kind": "unet"})


def test_strata_hold_one_draw_each_and_ln_sigma_is_normal() -> None:
    draws = stratified(torch.rand(500, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal((draws * 8).floor(), torch.arange(8.0).expand(500, -1))
    logs = torch.log(log_normal_sigma(draws, -0.4, 1.1))
    assert float(logs.mean()) == pytest.approx(-0.4, abs=0.02)
    assert float(logs.std()) == pytest.approx(1.1, abs=0.03)


MEAN, SPREAD = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.5])


def _gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact denoiser of N(MEAN, SPREAD^2)."""
    return MEAN + (x - MEAN) * SPREAD**2 / (SPREAD**2 + sigma**2)


@pytest.mark.parametrize("churn", [None, Churn()])
def test_samplers_reach_the_distribution(churn: Churn | None) -> None:
    random = torch.Generator().manual_seed(0)
    x = heun(_gaussian, (6000, 2), random, steps=24, churn=churn)
    assert torch.allclose(x.mean(dim=0), MEAN, atol=0.08)
    assert torch.allclose(x.std(dim=0), SPREAD, rtol=0.05)


def test_noise_levels_fall_from_the_largest_to_zero() -> None:
    levels = noise_levels(10, 0.02, 30.0)
    assert float(levels[0]) == pytest.approx(30.0, rel=1e-4)
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()
    with pytest.raises(ValueError, match="steps"):
        noise_levels(1, 0.02, 30.0)


def test_guidance_moves_away_from_no_label() -> None:
    one, zero = torch.ones(3, 2), torch.tensor(1.0)
    towards = guided(lambda x, s: x + 1, lambda x, s: x, 2.0)
    assert torch.equal(towards(one, zero), one + 3)
    assert torch.equal(guided(lambda x, s: x + 1, lambda x, s: x, 0.0)(one, zero), one + 1)
