"""The privacy loss where several contributions of one person may meet under one noise.

Each of k contributions of norm at most C enters independently with probability q, so
the person moves the sum by at most j C with probability Binomial(k, q)(j). The loss is
that of the mixture of Gaussians sum_j w_j N(j, z^2) against N(0, z^2), which dominates
the vector-valued mechanism (Choquette-Choo, Ganesh, Steinke, Thakurta 2024, corollary 4.7).
"""

from __future__ import annotations

import math

import numpy as np
from dp_accounting.pld import pld_pmf, privacy_loss_mechanism
from dp_accounting.pld import privacy_loss_distribution as pld
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import binom

Floats = NDArray[np.float64]
_Direction = privacy_loss_mechanism.AdjacencyType
_NEWTON_STEPS = 60


def mixture_loss(
    noise_multiplier: float, sampling_rate: float, multiplicity: int, interval: float
) -> pld.PrivacyLossDistribution:
    """The loss of one release at which at most `multiplicity` contributions of a person meet."""
    counts = np.arange(multiplicity + 1)
    weights = binom.pmf(counts, multiplicity, sampling_rate)
    sides = []
    for direction in (_Direction.REMOVE, _Direction.ADD):
        loss = _Mixture(noise_multiplier, counts, weights, adjacency_type=direction)
        bounds = loss.connect_dots_bounds()
        lower = math.floor(bounds.epsilon_lower / interval)
        upper = math.ceil(bounds.epsilon_upper / interval)
        deltas = loss.get_delta_for_epsilon(np.arange(lower, upper + 1) * interval)
        sides.append(pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(interval, lower, upper, deltas))
    return pld.PrivacyLossDistribution(*sides)


class _Mixture(privacy_loss_mechanism.MixtureGaussianPrivacyLoss):  # type: ignore[misc]
    """dp-accounting's loss, its inverse by Newton's method: milliseconds instead of up to ten seconds."""

    def inverse_privacy_losses(self, privacy_losses: Floats, precision: float = 1e-6) -> Floats:
        """For each loss l, increasing, the x at which ln(upper(x) / lower(x)) = l.

        Without the part of weight w_0 that does not move, the ratio is a sum of
        exponentials whose logarithm is convex and increasing in y (x, or -x on removal), with slope
        at least 1 / z^2: Newton's method started above the solution falls to it.
        """
        s, weights = self.sensitivities, self.sampling_probs
        moving = s > 0
        variance = self._standard_deviation**2
        slopes = s[moving] / variance
        heights = np.log(weights[moving]) - s[moving] ** 2 / (2 * variance)
        still = float(weights[~moving].sum())
        sign = 1.0 if self.adjacency_type == _Direction.REMOVE else -1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            goal = sign * privacy_losses + np.log1p(-still * np.exp(-sign * privacy_losses))
        reached = ~np.isfinite(goal)  # the limit of losses, where only w_0 is left
        goal[reached] = 0.0
        y = np.min((goal[:, None] - heights) / slopes, axis=1)
        for _ in range(_NEWTON_STEPS):
            terms = heights + slopes * y[:, None]
            value = logsumexp(terms, axis=1)
            slope = np.exp(terms - value[:, None]) @ slopes
            step = (value - goal) / slope
            y -= step
            if not np.any(np.abs(step) > 1e-13 * (1 + np.abs(y))):
                break
        y[reached] = -np.inf
        inverse: Floats = -sign * y
        return inverse
