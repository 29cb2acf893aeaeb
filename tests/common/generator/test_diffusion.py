"""The table of parameterisations, against closed forms and distributions whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from common.generator.condition import Condition
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.diffusion import PARAMETERISATIONS, TABLE, Diffusion
from common.generator.noise_levels import NoiseLevels, time_vp
from common.generator.objective import Objective
from common.generator.samplers import Sampler, noise_levels
from tests.common.generator.sequences import shaken

NET = ResidualMLP(channels=5, labels=3, width=16, depth=2)
SIGMA = torch.tensor([0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 80.0], dtype=torch.float64)
S2 = SIGMA**2
ROOT = torch.sqrt(1 + S2)
ONES, ZEROS = torch.ones_like(SIGMA), torch.zeros_like(SIGMA)
ANGLE = 2 / math.pi * torch.arccos(1 / ROOT)
CLOSED: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {
    "edm": (1 / (1 + S2), SIGMA / ROOT, 1 / ROOT, torch.log(SIGMA) / 4),
    "v": (1 / (1 + S2), SIGMA / ROOT, 1 / ROOT, ANGLE),
    "vp": (ONES, -SIGMA, 1 / ROOT, time_vp(SIGMA)),
    "ve": (ONES, SIGMA, ONES, torch.log(SIGMA / 2) / 4),
    "x0": (ZEROS, ONES, 1 / ROOT, ANGLE),
    "epsilon": (ONES, -SIGMA, 1 / ROOT, ANGLE),
}
WEIGHT = dict.fromkeys(("edm", "v"), (1 + S2) / S2) | dict.fromkeys(("vp", "ve", "epsilon"), 1 / S2)


@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_a_row_is_its_closed_form(name: str) -> None:
    row = TABLE[name]
    found = (row.c_skip(SIGMA), row.c_out(SIGMA), row.c_in(SIGMA), row.c_noise(SIGMA))
    for value, expected in zip(found, CLOSED[name], strict=True):
        assert torch.allclose(value, expected, rtol=1e-9, atol=1e-12)
    assert torch.allclose(row.weight(SIGMA), WEIGHT.get(name, ONES), rtol=1e-9)
    assert torch.allclose(row.weight(SIGMA) * row.c_out(SIGMA) ** 2, ONES, rtol=1e-9)
    noised = row.c_in(SIGMA) * ROOT  # deviation of the network's input, for data of unit variance
    assert torch.allclose(noised, ROOT if name == "ve" else ONES, rtol=1e-9)


@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_what_the_network_has_to_learn_has_unit_variance(name: str) -> None:
    """F* = (y - c_skip x) / c_out for y, n standard normal: variance 1 at every sigma."""
    row = TABLE[name]
    skip = row.c_skip(SIGMA)
    variance = ((1 - skip) ** 2 + skip**2 * S2) / row.c_out(SIGMA) ** 2
    assert torch.allclose(variance, ONES, rtol=1e-6)


@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_the_tables_alone_are_exact_for_a_gaussian(name: str) -> None:
    """N(m, 1): one shift, and for those that start from another guess one scale."""
    net = replace(NET, depth=0)
    parameters = net.init(0)
    mean = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0])
    parameters["shift.weight"][1] = mean
    if name not in ("edm", "v"):
        parameters["scale.weight"][1] = 1.0
    x, sigma = torch.randn(40, 5), torch.rand(40) * 10 + 0.05
    condition = Condition.of(torch.ones(40, dtype=torch.int64), 1)
    denoised = Diffusion(name).denoised(net, parameters, x, sigma, condition)
    assert torch.allclose(denoised, (x + sigma[:, None] ** 2 * mean) / (1 + sigma[:, None] ** 2), atol=1e-4)


def test_zero_network_is_the_posterior_mean_of_a_standard_gaussian() -> None:
    x, sigma = torch.randn(40, 5), torch.rand(40) * 10 + 0.01
    condition = Condition.of(torch.randint(0, 4, (40,)), 1)
    for name in ("edm", "v"):
        denoised = Diffusion(name).denoised(NET, NET.init(0), x, sigma, condition)
        assert torch.allclose(denoised, x / (1 + sigma[:, None] ** 2))


def test_epsilon_and_vp_are_one_map_and_x0_is_the_network_itself() -> None:
    """DDPM: x_0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar), x_t = sqrt(abar) x, sigma^2 = 1/abar - 1."""
    parameters = shaken(NET.init(0))
    x, sigma = torch.randn(7, 5), SIGMA.float()
    condition = Condition.of(torch.zeros(7, dtype=torch.int64), 1)
    alpha_bar = (1 / (1 + sigma**2))[:, None]
    row = TABLE["epsilon"]
    x_t = alpha_bar.sqrt() * x
    level = Diffusion("epsilon").level(sigma)
    epsilon = NET.apply(parameters, x_t, level, condition)
    expected = (x_t - (1 - alpha_bar).sqrt() * epsilon) / alpha_bar.sqrt()
    found = Diffusion("epsilon").denoised(NET, parameters, x, sigma, condition)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(row.c_out(sigma), TABLE["vp"].c_out(sigma))
    clean = NET.apply(parameters, x_t, Diffusion("x0").level(sigma), condition)
    assert torch.allclose(Diffusion("x0").denoised(NET, parameters, x, sigma, condition), clean, atol=1e-5)


def test_weights_by_name() -> None:
    assert torch.equal(Diffusion("edm", "uniform").weight(SIGMA), ONES)
    assert torch.allclose(Diffusion("x0", "min_snr").weight(SIGMA), torch.minimum(1 / S2, 5 * ONES))
    assert torch.equal(Diffusion("x0").weight(SIGMA), ONES)


def test_every_label_has_its_own_answer_and_axes_broadcast() -> None:
    parameters = shaken(NET.init(0))
    x, sigma = torch.randn(2, 3, 5), torch.ones(2, 3)
    condition = Condition.of(torch.tensor([[0, 1, 2], [3, 0, 1]]), 1)
    out = Diffusion().denoised(NET, parameters, x, sigma, condition)
    assert out.shape == x.shape
    alone = Diffusion().denoised(NET, parameters, x[1, 0], sigma[1, 0], Condition.of(torch.tensor(3), 1))
    assert torch.allclose(out[1, 0], alone, atol=1e-5)
    other = condition.at(torch.tensor([1, 0]))
    assert not torch.allclose(Diffusion().denoised(NET, parameters, x, sigma, other), out)


class _Draws:
    """Randomness of one crowd."""

    def __init__(self, people: int, seed: int) -> None:
        self._people, self._random = people, torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._people, *shape, generator=self._random)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self._people, *shape, generator=self._random)


def _two() -> tuple[Tensor, Tensor]:
    """Label 0 is a narrow ring of radius 1.4 around the origin, label 1 a tilted Gaussian beside it."""
    random, labels = torch.Generator().manual_seed(0), torch.arange(128) % 2
    turn = 2 * math.pi * torch.rand(128, generator=random)
    ring = 1.4 * torch.stack([torch.cos(turn), torch.sin(turn)], dim=1)
    ring = ring + 0.1 * torch.randn(128, 2, generator=random)
    blob = torch.randn(128, 2, generator=random) @ torch.tensor([[0.5, 0.4], [0.0, 0.3]])
    return torch.where(labels[:, None] == 0, ring, blob + torch.tensor([1.5, 0.0])), labels


# Steps, and how close that comes. VE gives the network inputs of up to 30 deviations, and learns last.
LEARNING = dict.fromkeys(("edm", "v", "x0"), (200, 0.2)) | dict.fromkeys(("vp", "epsilon"), (300, 0.35))
LEARNING["ve"] = (500, 0.6)
SMALL = ResidualMLP(channels=2, labels=2, width=32, depth=2)


@cache
def _trained(name: str) -> Mapping[str, Tensor]:
    (y, labels), (steps, _) = _two(), LEARNING[name]
    objective = Objective(SMALL, Diffusion(name), NoiseLevels(TABLE[name].noise_levels), replicas=8)
    parameters = {part: value.requires_grad_() for part, value in SMALL.init(0).items()}
    optimiser = torch.optim.Adam(parameters.values(), lr=1e-2)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draws, fixed = _Draws(len(y), 1), {"latents": y[:, None], **Condition.of(labels[:, None], 1)._asdict()}
    average = {part: value.detach().clone() for part, value in parameters.items()}
    for step in range(steps):
        optimiser.zero_grad()
        objective.losses(parameters, fixed | objective.draw(1, draws)).mean().backward()
        optimiser.step()
        fall.step()
        for part, value in parameters.items():
            average[part].lerp_(value.detach(), max(0.04, 9 / (step + 9)))
    return average


def _learnt(trained: str, sampled: str, within: float) -> bool:
    """Whether samples of the network trained as one row, drawn as another, are the two labels' data."""
    (y, labels), parameters = _two(), _trained(trained)
    row, drawn, random = TABLE[sampled], [], torch.Generator().manual_seed(1)
    levels = noise_levels(25, row.sigma_min, row.sigma_max, row.spacing)
    for label in (0, 1):
        condition = Condition.of(torch.full((500,), label), 1)

        def denoise(x: Tensor, sigma: Tensor, condition: Condition = condition) -> Tensor:
            return Diffusion(sampled).denoised(SMALL, parameters, x, sigma.expand(len(x)), condition)

        with torch.no_grad():
            drawn.append(Sampler(name="heun").draw(denoise, (500, 2), levels, random))
    radius, blob = drawn[0].norm(dim=1), y[labels == 1]
    return (
        abs(float(radius.mean()) - 1.4) < within
        and float(radius.std()) < 0.1 + within
        and float(drawn[0].mean(dim=0).norm()) < within
        and torch.allclose(drawn[1].mean(dim=0), blob.mean(dim=0), atol=within)
        and torch.allclose(drawn[1].T.cov(), blob.T.cov(), atol=within)
    )


@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_every_parameterisation_learns_a_distribution(name: str) -> None:
    assert _learnt(name, name, LEARNING[name][1])


@pytest.mark.parametrize(("trained", "sampled"), [("edm", "x0"), ("x0", "epsilon"), ("vp", "ve")])
def test_control_a_network_read_by_another_row_gives_something_else(trained: str, sampled: str) -> None:
    assert not _learnt(trained, sampled, 0.6)
