"""An empirical lower bound on epsilon from one run: a claim that it contradicts is false.

Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run" (NeurIPS 2023).
Each of m canaries enters the run by a fair coin. From the run's output alone the auditor
scores every canary, guesses "in" for the highest scores and "out" for the lowest, and
abstains on the rest. The unit of a canary is the unit of the bound: here a canary is a
whole user, under adding or removing one user.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

_MOST_EPSILON = 50.0


@dataclass(frozen=True, kw_only=True)
class Audit:
    """With `confidence`, an (epsilon', `delta`)-DP run with epsilon' < `epsilon` guesses less well.

    `correct` of `guesses` were right, among `canaries` that a coin put in or left out.
    """

    canaries: int
    guesses: int
    correct: int
    delta: float
    confidence: float
    epsilon: float

    def contradicts(self, claim: float) -> bool:
        """Whether `claim` at this delta is refuted."""
        return self.epsilon > claim


def audit(
    scores: ArrayLike, included: ArrayLike, guesses: int, delta: float, confidence: float = 0.95
) -> Audit:
    """Guess `included` `[canaries]` (bool) from `scores` `[canaries]`, high for "in", and bound epsilon.

    `guesses` is even and must be chosen before the scores are seen. A score that is not a
    number cannot be ranked: ValueError. Ties are broken by the order of the canaries, which
    the coins do not depend on.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(included, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape or bool(np.isnan(values).any()):
        raise ValueError(f"expected one number and one coin a canary, got {values.shape} and {truth.shape}")
    if guesses % 2 or not 2 <= guesses <= len(values):
        raise ValueError(f"guesses is {guesses}: it must be even, from 2 to {len(values)}")
    order = np.argsort(values, kind="stable")
    half = guesses // 2
    correct = int(truth[order[-half:]].sum() + (~truth[order[:half]]).sum())
    bound = epsilon_lower_bound(len(values), guesses, correct, delta, confidence)
    return Audit(
        canaries=len(values), guesses=guesses, correct=correct,
        delta=delta, confidence=confidence, epsilon=bound,
    )  # fmt: skip


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """An upper bound on the chance of `correct` or more right guesses in any (epsilon, delta)-DP run.

    Section 5 (approximate DP; code in appendix D): with W ~ Binomial(r, e^epsilon / (1 + e^epsilon)) it is
    P[W >= v] + 2 m delta max_{1 <= i <= v} P[v > W >= v - i] / i.
    """
    if not 0 <= correct <= guesses <= canaries:
        raise ValueError(f"expected correct <= guesses <= canaries, got {correct}, {guesses}, {canaries}")
    right = 1 / (1 + math.exp(-epsilon))
    i = np.arange(1, correct + 1)
    below = np.cumsum(binom.pmf(correct - i, guesses, right)) / i
    tail = float(binom.sf(correct - 1, guesses, right))
    return min(1.0, tail + 2 * canaries * delta * float(below.max(initial=0.0)))


def epsilon_lower_bound(
    canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95
) -> float:
    """The largest epsilon (rounded down) that `correct` of `guesses` refutes at `confidence`; 0 if none."""
    level = 1 - confidence
    low, high = 0.0, _MOST_EPSILON
    if p_value(canaries, guesses, correct, low, delta) >= level:
        return 0.0
    while high - low > 1e-7:  # the p-value grows with epsilon
        middle = (low + high) / 2
        refuted = p_value(canaries, guesses, correct, middle, delta) < level
        low, high = (middle, high) if refuted else (low, middle)
    return math.floor(low * 1e6) / 1e6
