"""What a budget buys, from public facts alone: noise, usable dimension, and which method suits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from common.accounting import ACCOUNTANT, calibrate, epsilon
from common.errors import InputError
from common.query import NEIGHBOURING, Plan, PrivacyEvent, Trust

USABLE, COARSE, DROWNED = 0.05, 0.3, 1.0
"""Noise over signal (kappa) up to which training works, up to which it finds the rough shape of motions,
and from which public motions alone are about as good: marks on a slope (README, How many people it takes)."""

MODEL = 4096
"""Parameters of dp_sgd's denoiser as the demo trains it; more labels or channels add a few hundred."""

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

    `dimension_usable` and `dimension_coarse` are how many parameters keep the noise at 5 and
    30 % of the signal; `model_noise` is that share for a model of `model_dimension`.
    """
    _check(question)
    delta = min(1e-5, 1 / (10 * question.users)) if question.delta is None else question.delta
    multiplier = calibrate(question.epsilon, delta, question.sampling_rate, question.rounds)
    event = PrivacyEvent(
        noise_multiplier=multiplier, sampling_rate=question.sampling_rate, count=question.rounds
    )
    one = noise_share(event, question.trust, question.sites, question.users, dimension=1)
    usable, coarse = (math.floor((limit / one) ** 2) for limit in (USABLE, COARSE))
    model = one * math.sqrt(MODEL)
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
        "model_dimension": MODEL,
        "model_noise": model,
        "advice": _advice(model),
    }


def noise_share(event: PrivacyEvent, trust: Trust, sites: int, units: int, dimension: int) -> float:
    """kappa = z sqrt(d) / (q sqrt(T) U): noise left in the mean of all rounds, in units of the clip norm.

    Under `local` every site adds the full noise, and kappa grows with the root of their number.
    Published diffusion runs were good at 0.01, usable at 0.05 and coarse at 0.3.
    """
    spread = math.sqrt(sites) if trust == "local" else 1.0
    total = spread * event.noise_multiplier / (event.sampling_rate * math.sqrt(event.count))
    return total * math.sqrt(dimension) / units


def small_group(plan: Plan, sites: int, units: int) -> str | None:
    """One line where so few units leave nothing but noise; None where they do not."""
    share = noise_share(plan.reserved(), plan.trust, sites, units, plan.dimension)
    if share <= DROWNED:
        return None
    whom = {"user": "people", "record": "records"}[plan.unit]
    sensor = plan.codec["modality"]["kind"] == "sensor"
    outlook = "noise rather than motion" if sensor else "about public-only quality, or worse"
    return (
        f"with {units:,} {whom} in training and this budget the noise is {_times(share)} the signal:"
        f" expect {outlook}"
    )


def _times(share: float) -> str:
    return f"{share:.0f} times" if share >= 10 else f"{share:.1f} times"


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


def _advice(share: float) -> str:
    noise = f"dp_sgd, with its usual {MODEL:,} parameters: noise {_percent(share)} of the signal"
    if share <= 2 * USABLE:
        return f"{noise}; train it"
    if share <= DROWNED:
        return f"{noise}; expect the rough shape of motions, closer to these people than public-only"
    return (
        f"no gradient training: the noise is {_times(share)} the signal, so public-only will be as good;"
        " more people, a larger epsilon or fewer sites would help"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
