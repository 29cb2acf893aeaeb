"""Characteristic functions under adversarial weights: what the adversary is paid for, and what is learnt."""

from __future__ import annotations

import pytest
import torch

from common.methods.pearl import Adversary
from tests.mean_embedding import SHIFT, drawn_mean, made

COUNT, LATENT = 400, 4


def frequencies() -> torch.Tensor:
    return torch.randn(COUNT, LATENT, generator=torch.Generator().manual_seed(0))


def pressed(noise: float, rate: float = 0.05) -> torch.Tensor:
    """Weights after 40 steps against a difference at frequencies along the first coordinate alone."""
    own = frequencies()
    along = own[:, 0].abs() > 1.2
    difference = torch.cat([along * 0.1, torch.zeros(COUNT)])[None]
    adversary = Adversary(own, noise, rate, most=4.0)
    for _ in range(40):
        weights = adversary(difference)
    assert torch.equal(weights[:COUNT], weights[COUNT:])
    return torch.stack([weights[:COUNT][along].mean(), weights[:COUNT][~along].mean()])


def test_the_adversary_weighs_the_frequencies_at_which_the_difference_is() -> None:
    along, elsewhere = pressed(noise=0.0)
    assert along > 1.3
    assert elsewhere < 0.9


def test_without_a_rate_all_frequencies_weigh_the_same() -> None:
    assert pressed(noise=0.0, rate=0.0).tolist() == pytest.approx([1.0, 1.0])


def test_the_adversary_is_not_paid_for_what_noise_explains() -> None:
    """Noise alone has no direction: on average over draws, the weights stay even."""
    own, random = frequencies(), torch.Generator().manual_seed(1)
    adversary = Adversary(own, 0.1, 0.01, most=4.0)
    for _ in range(100):
        weights = adversary(0.1 * torch.randn(3, 2 * COUNT, generator=random))
    assert float(weights.std()) < 0.5
    assert float(weights.min()) >= 0.25 and float(weights.max()) <= 4.0


def test_the_generator_draws_an_action_where_people_perform_it() -> None:
    means = drawn_mean(made("pearl", count=64), noise=0.0005)
    assert float(means[0, 0]) == pytest.approx(SHIFT, abs=0.4)
    assert abs(float(means[1, 0])) < 0.4
