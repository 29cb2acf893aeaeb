"""What a budget buys, from public facts alone: noise, rounds, usable dimension, and which method suits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from common.accounting import ACCOUNTANT, LARGEST_EPSILON, calibrate, epsilon, most_steps
from common.errors import InputError
from common.event import MOST_SITES_PER_PERSON, MOST_STEPS, NEIGHBOURING, PrivacyEvent, Trust, person_event
from common.plan import MOST_VALUES, Plan
from server.planning import fewest

USABLE, COARSE, DROWNED = 0.05, 0.3, 1.0
"""Noise over signal (kappa) up to which training works, up to which it finds the rough shape of motions,
and from which public motions alone are about as good: marks on a slope (README, How many people it takes)."""

MODEL = 4096
"""Parameters of dp_sgd's denoiser as the demo trains it; more labels or channels add a few hundred."""

ROUNDS = 200
"""Unless told, or asked."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Units in training and how a budget is spent; what is None of the last three is asked for.

    Two of `epsilon`, `noise_multiplier` and `rounds` give the third; one of the first two
    alone is spent in `ROUNDS` rounds. `sites_per_person` bounds how many sites hold one person.
    `min_sites` and `colluders` say, under `secagg`, how many sites' noise is certain: see
    `common.plan.Plan`. `parameters` is how many are trained in private; None: as many as the demo.
    """

    users: int
    delta: float | None
    sampling_rate: float
    sites: int
    trust: Trust
    sites_per_person: int = 1
    epsilon: float | None = None
    noise_multiplier: float | None = None
    rounds: int | None = None
    parameters: int | None = None
    min_sites: int | None = None
    colluders: int = 1

    @property
    def surplus(self) -> float:
        """How much more noise the sum of all sites carries than the claim counts on."""
        least = self.min_sites or fewest(self.trust, self.sites)
        return spread(self.trust, self.sites, least - self.colluders)


def answer(question: Question) -> dict[str, Any]:
    """The plan as JSON; raises InputError naming what is out of range.

    `dimension_usable` and `dimension_coarse` are how many parameters keep the noise at 5 and
    30 % of the signal; `model_noise` is that share for a model of `model_dimension`, and
    `model_verdict` one word for it.
    """
    _check(question)
    delta = min(1e-5, 1 / (10 * question.users)) if question.delta is None else question.delta
    multiplier, rounds = _solved(question, delta)
    event = _event(question, multiplier, rounds)
    cost = epsilon([event], delta)
    if math.isinf(cost):
        raise InputError(
            f"{rounds} rounds at noise multiplier {multiplier:g} cost more than epsilon {LARGEST_EPSILON:g},"
            " which promises nothing: give a larger --noise-multiplier or fewer --rounds"
        )
    return {
        "users": question.users,
        "unit": "user",
        "neighbouring": NEIGHBOURING,
        "accountant": ACCOUNTANT,
        "trust": question.trust,
        "sites": question.sites,
        "sites_per_person": question.sites_per_person,
        **_shares(question),
        "delta": delta,
        "epsilon_target": question.epsilon,
        "epsilon": cost,
        "rounds": rounds,
        "sampling_rate": question.sampling_rate,
        "noise_multiplier": multiplier,
        "events": [vars(event)],
        **_learned(question, multiplier, rounds),
    }


def _shares(question: Question) -> dict[str, int]:
    if question.trust != "secagg":
        return {}
    least = question.min_sites or fewest(question.trust, question.sites)
    return {"min_sites": least, "colluders": question.colluders}


def _learned(question: Question, multiplier: float, rounds: int) -> dict[str, Any]:
    """What a model learns through the noise."""
    one = _noise_share(multiplier, question.sampling_rate, rounds, question.surplus)
    usable, coarse = (math.floor((limit * question.users / one) ** 2) for limit in (USABLE, COARSE))
    dimension = question.parameters or MODEL
    model = one * math.sqrt(dimension) / question.users
    return {
        "dimension_usable": usable,
        "dimension_coarse": coarse,
        "model_dimension": dimension,
        "model_noise": model,
        "model_verdict": verdict(model),
        "advice": _advice(model, question.parameters),
    }


def _solved(question: Question, delta: float) -> tuple[float, int]:
    """(noise multiplier, rounds): the one that is asked for, found from the others."""
    target, multiplier, rounds = question.epsilon, question.noise_multiplier, question.rounds or ROUNDS
    if multiplier is None:
        if target is None:
            raise InputError("give --epsilon (to get the noise) or --noise-multiplier (to get epsilon)")
        one = _event(question, 1.0, rounds)
        return calibrate(target, delta, one.sampling_rate, one.count, one.multiplicity), rounds
    if target is None:
        return multiplier, rounds
    rounds = most_steps(target, delta, _event(question, multiplier, 1))
    if rounds == 0:
        raise InputError(
            f"not one round at noise multiplier {multiplier:g} fits into epsilon {target:g}"
            f" at delta {delta:.3g}: give a larger --noise-multiplier or --epsilon"
        )
    return multiplier, rounds


def _event(question: Question, multiplier: float, rounds: int) -> PrivacyEvent:
    return person_event(
        noise_multiplier=multiplier,
        sampling_rate=question.sampling_rate,
        steps=rounds,
        sites_per_person=question.sites_per_person,
        trust=question.trust,
    )


def spread(trust: Trust, sites: int, honest: int = 1) -> float:
    """How much more noise a sum carries than the claim counts.

    Under `local` each site adds the full noise; under `secagg` each a share such that those of `honest`
    sites, who must survive and keep theirs to themselves, are enough.
    """
    if trust == "secagg":
        return math.sqrt(sites / honest)
    return math.sqrt(sites) if trust == "local" else 1.0


def _noise_share(multiplier: float, rate: float, steps: int, spread: float) -> float:
    """kappa U / sqrt(d) = z / (q sqrt(T)): noise left in the mean of all rounds, in units of the clip norm.

    Published diffusion runs were good at kappa 0.01, usable at 0.05 and coarse at 0.3.
    """
    return spread * multiplier / (rate * math.sqrt(steps))


def noise_in(plan: Plan, sites: int, units: int) -> float:
    """Noise over signal (kappa) that is left after all rounds of `plan`."""
    steps = plan.rounds * plan.steps_per_round
    more = spread(plan.trust, sites, plan.min_sites - plan.colluders)
    one = _noise_share(plan.noise_multiplier, plan.sampling_rate, steps, more)
    return one * plan.spread * math.sqrt(plan.dimension) / plan.contributors(units)


def verdict(share: float) -> str:
    """What a model learns through so much noise over signal: usable, coarse or drowned."""
    if share <= 2 * USABLE:
        return "usable"
    return "coarse" if share <= DROWNED else "drowned"


def with_parameters(found: Mapping[str, Any], parameters: int) -> dict[str, Any]:
    """What an `answer` says of another number of private parameters."""
    share = found["model_noise"] * math.sqrt(parameters / found["model_dimension"])
    return {"parameters": parameters, "noise": share, "verdict": verdict(share)}


def small_group(plan: Plan, sites: int, units: int) -> str | None:
    """One line where so few units leave nothing but noise; None where they do not."""
    share = noise_in(plan, sites, units)
    if share <= DROWNED:
        return None
    whom = {"user": "people", "record": "records"}[plan.unit]
    outlook = {
        "skeleton": "about public-only quality, or worse",
        "sensor": "noise rather than motion",
        "image": "noise rather than images",
    }[plan.codec["modality"]["kind"]]
    return (
        f"with {units:,} {whom} in training and this budget the noise is {_times(share)} the signal:"
        f" expect {outlook}"
    )


def _times(share: float) -> str:
    return f"{share:.0f} times" if share >= 10 else f"{share:.1f} times"


def _check(question: Question) -> None:
    target, multiplier, rounds = question.epsilon, question.noise_multiplier, question.rounds
    if None not in (target, multiplier, rounds):
        raise InputError(
            "--epsilon and --noise-multiplier together give the rounds: leave out one of the three"
        )
    finite = f"above 0 and at most {LARGEST_EPSILON:g}"
    most = min(question.sites, MOST_SITES_PER_PERSON)
    limits = {
        "--users": (question.users >= 2, question.users, "2 or more"),
        "--epsilon": (target is None or 0 < target <= LARGEST_EPSILON, target, finite),
        "--noise-multiplier": (multiplier is None or 1e-3 <= multiplier <= 1e6, multiplier, "1e-3 to 1e6"),
        "--rounds": (rounds is None or 1 <= rounds <= MOST_STEPS, rounds, f"1 to {MOST_STEPS}"),
        "--sampling-rate": (0 < question.sampling_rate <= 1, question.sampling_rate, "above 0 and at most 1"),
        "--parameters": (question.parameters is None or 1 <= question.parameters <= MOST_VALUES,
                         question.parameters, f"1 to {MOST_VALUES}"),
        "--sites": (question.sites >= 1, question.sites, "1 or more"),
        "--sites-per-person": (1 <= question.sites_per_person <= most, question.sites_per_person,
                               f"1 to {most}: no more than there are sites, and {MOST_SITES_PER_PERSON}"),
        "--trust": (question.trust in get_args(Trust), question.trust, "local, secagg or central"),
    }  # fmt: skip
    for name, (holds, value, allowed) in limits.items():
        if not holds:
            raise InputError(f"{name} is {value}: it must be {allowed}")
    if question.trust == "secagg":
        _check_shares(question)
    if question.delta is not None and not 0 < question.delta < 1 / question.users:
        raise InputError(f"--delta is {question.delta}: it must lie between 0 and 1/{question.users}")


def _check_shares(question: Question) -> None:
    """That the sites who must survive outweigh those who may not be trusted: as `common.plan.Plan` has it."""
    n, c = question.sites, question.colluders
    m = question.min_sites or fewest(question.trust, n)
    limits = {
        "--sites": (n >= 2, n, "2 or more under secagg"),
        "--colluders": (1 <= c < m, c, f"at least 1 and below min_sites, which is {m}"),
        "--min-sites": (
            m <= n and 2 * m > n + c,
            m,
            f"over half of {n} sites + {c} colluders, and at most {n}",
        ),
    }
    for name, (holds, value, allowed) in limits.items():
        if not holds:
            raise InputError(f"{name} is {value}: it must be {allowed}")


def _advice(share: float, parameters: int | None) -> str:
    size = f"its usual {MODEL:,} parameters" if parameters is None else f"{parameters:,} private parameters"
    noise = f"dp_sgd, with {size}: noise {percent(share)} of the signal"
    if verdict(share) == "usable":
        return f"{noise}; train it"
    if verdict(share) == "coarse":
        return f"{noise}; expect the rough shape of motions, closer to these people than public-only"
    return (
        f"no gradient training: the noise is {_times(share)} the signal, so public-only will be as good;"
        " more people, a larger epsilon or fewer sites would help"
    )


def percent(share: float) -> str:
    """Two digits, and whole numbers from 10 % on."""
    return f"{100 * share:,.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
