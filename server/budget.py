"""What a budget buys, from public facts alone: noise, usable dimension, and which method suits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from common.accounting import ACCOUNTANT, calibrate, epsilon
from common.errors import InputError
from common.query import NEIGHBOURING, PrivacyEvent, Trust

USABLE, COARSE = 0.05, 0.3
"""Noise-to-clip ratios kappa below which training works, and above which no coarse structure is left."""

LARGEST_EPSILON = 100.0
"""A finite epsilon above this promises nothing, and its accounting needs gigabytes."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Units in training, the target (epsilon, delta), and how it is spent."""

    users: int
    epsilon: float
    delta: float | None
    rounds: int
    sampling_rate: float
    sites: int
    trust: Trust


def answer(question: Question) -> dict[str, Any]:
    """The plan as JSON; raises InputError naming what is out of range.

    kappa = z_total sqrt(d) / U is the noise left in the mean over all rounds, in units of
    the clip norm, with z_total = z / (q sqrt(T)); under `local` it grows with the square
    root of the number of sites. Published diffusion runs were good at 0.01, usable at
    0.05 and coarse at 0.3.
    """
    _check(question)
    delta = min(1e-5, 1 / (10 * question.users)) if question.delta is None else question.delta
    multiplier = calibrate(question.epsilon, delta, question.sampling_rate, question.rounds)
    event = PrivacyEvent(
        noise_multiplier=multiplier, sampling_rate=question.sampling_rate, count=question.rounds
    )
    spread = math.sqrt(question.sites) if question.trust == "local" else 1.0
    total = spread * multiplier / (question.sampling_rate * math.sqrt(question.rounds))
    usable = math.floor((USABLE * question.users / total) ** 2)
    coarse = math.floor((COARSE * question.users / total) ** 2)
    return {
        "users": question.users,
        "unit": "user",
        "neighbouring": NEIGHBOURING,
        "accountant": ACCOUNTANT,
        "trust": question.trust,
        "sites": question.sites,
        "delta": delta,
        "epsilon_target": question.epsilon,
        "epsilon": epsilon([event], delta),
        "rounds": question.rounds,
        "sampling_rate": question.sampling_rate,
        "noise_multiplier": multiplier,
        "dimension_usable": usable,
        "dimension_coarse": coarse,
        "advice": _advice(usable, coarse),
    }


def _check(question: Question) -> None:
    limits = {
        "--users": (question.users >= 2, question.users, "2 or more"),
        "--epsilon": (
            0 < question.epsilon <= LARGEST_EPSILON,
            question.epsilon,
            f"above 0 and at most {LARGEST_EPSILON:g}",
        ),
        "--rounds": (question.rounds >= 1, question.rounds, "1 or more"),
        "--sampling-rate": (0 < question.sampling_rate <= 1, question.sampling_rate, "above 0 and at most 1"),
        "--sites": (question.sites >= 1, question.sites, "1 or more"),
        "--trust": (question.trust in ("local", "central"), question.trust, "local or central"),
    }
    for name, (holds, value, allowed) in limits.items():
        if not holds:
            raise InputError(f"{name} is {value}: it must be {allowed}")
    if question.delta is not None and not 0 < question.delta < 1 / question.users:
        raise InputError(f"--delta is {question.delta}: it must lie between 0 and 1/{question.users}")


def _advice(usable: int, coarse: int) -> str:
    if usable >= 1000:
        return f"dp_sgd: train a denoiser of up to about {usable:,} parameters"
    if coarse >= 1000:
        return f"dp_sgd with 1,000 to {coarse:,} parameters: coarse structure only; compare with public_only"
    return "no gradient training: more people, a larger epsilon or fewer sites; public_only will be as good"
