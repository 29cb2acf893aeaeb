"""Several contributions under one noise: the loss is that of the mixture, from below and above."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from scipy.stats import binom, norm

from common.mixture import mixture_loss


@pytest.mark.parametrize(("z", "q", "k"), [(1.0, 0.05, 1), (1.0, 0.05, 2), (3.0, 0.3, 3), (0.8, 0.01, 6)])
def test_the_loss_is_the_library_s(z: float, q: float, k: int) -> None:
    ours = mixture_loss(z, q, k, 1e-2)
    weights = [float(binom.pmf(j, k, q)) for j in range(k + 1)]
    theirs = pld.from_mixture_gaussian_mechanism(
        z, list(range(k + 1)), weights, value_discretization_interval=1e-2
    )
    for count in (1, 50):
        for delta in (1e-4, 1e-8):
            found = ours.self_compose(count).get_epsilon_for_delta(delta)
            assert found == pytest.approx(theirs.self_compose(count).get_epsilon_for_delta(delta), abs=1e-6)


@pytest.mark.parametrize(("z", "q", "k"), [(1.0, 0.1, 2), (2.0, 0.4, 4)])
def test_the_loss_is_never_below_the_hockey_stick_of_the_mixture(z: float, q: float, k: int) -> None:
    """delta(epsilon) by integration over a fine line, in both directions."""
    x = np.linspace(-12 * z, 12 * z + k, 400_001)
    still = norm.pdf(x, scale=z)
    mixed = sum(binom.pmf(j, k, q) * norm.pdf(x, loc=j, scale=z) for j in range(k + 1))
    loss = mixture_loss(z, q, k, 1e-3)
    for epsilon in (0.0, 0.2, 0.5, 1.0, 2.0):
        sides = [np.clip(a - math.exp(epsilon) * b, 0, None) for a, b in ((mixed, still), (still, mixed))]
        exact = max(float(np.trapezoid(side, x)) for side in sides)
        found = loss.get_delta_for_epsilon(epsilon)
        assert exact - 1e-9 <= found <= exact + 1e-6


def test_more_contributions_under_one_noise_cost_more() -> None:
    costs = [
        mixture_loss(1.0, 0.05, k, 1e-2).self_compose(20).get_epsilon_for_delta(1e-5) for k in range(1, 6)
    ]
    assert costs == sorted(costs) and costs[4] > 2 * costs[0]
