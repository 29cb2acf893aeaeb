"""A run plan in plain words, for whoever answers for the people at a site."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from client.membership import installed
from common.card import date_of
from common.event import NEIGHBOURING
from common.method import Method, RememberingMethod
from common.methods import NAMES
from common.plan import Plan

_MOST_LETTERS: Final = 80


def facts(plan: Plan, cost: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan asks, by name, for machines; `cost` is `common.run_plan.cost` as this site counts it."""
    return {
        "hash": plan.digest(),
        "run_id": plan.run_id,
        "coordinator_key": plan.coordinator_key,
        "sites": [{"name": m.site, "population": m.population} for m in plan.roster],
        "method": plan.method,
        "options": dict(plan.options),
        "dimension": plan.dimension,
        "clip_norm": plan.clip_norm,
        "shard_size": plan.shard_size,
        "noise_multiplier": plan.noise_multiplier,
        "rounds": plan.rounds,
        "sampling_rate": plan.sampling_rate,
        "unit": plan.unit,
        "trust": plan.trust,
        "min_sites": plan.min_sites,
        "colluders": plan.colluders,
        "guarantee": plan.guarantee,
        "code": plan.code,
        "installed": installed(),
        "public_start": plan.arrays_digest,
        "cost": dict(cost),
    }


def words(plan: Plan, cost: Mapping[str, Any], asker: str) -> Iterator[str]:
    """The same line by line; `asker` says who the coordinator is, as far as that is known here.

    What the coordinator wrote stands in one line each, whatever characters it has.
    """
    for line in _words(plan, cost, asker):
        yield "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in line)


def _words(plan: Plan, cost: Mapping[str, Any], asker: str) -> Iterator[str]:
    yield f"run plan {plan.digest()}"
    yield f"asked by: {asker}"
    yield f"run: {plan.run_id}, which promises {plan.guarantee}"
    if plan.warning is not None:
        yield f"WARNING: {plan.warning}"
    people = sum(member.population for member in plan.roster)
    named = ", ".join(f"{m.site} ({m.population:,})" for m in plan.roster)
    yield f"sites (declared people): {named}; {people:,} in all"
    yield f"a round counts with {plan.min_sites} of the sites or more"
    yield f"method: {plan.method[:_MOST_LETTERS]} with {_listed(plan.options)}"
    yield f"learns: {plan.dimension:,} numbers of a generator of {_learned(plan)}"
    yield f"public start: arrays of SHA-256 {plan.arrays_digest} (for which the coordinator vouches)"
    yield from _leaving(plan)
    yield f"rounds: {plan.rounds:,}; in each, every {_one(plan)} is drawn with chance {plan.sampling_rate:g}"
    yield from _trust(plan)
    yield f"cost: {_cost(plan, cost)}"
    ours = "any version" if plan.code == "" else f"fedmotion {plan.code}"
    yield f"code: {ours}; this site runs fedmotion {installed()}, from its own installation"
    until = [member.valid_until for member in plan.roster if member.valid_until]
    if until:
        yield f"valid: until its last round; cards of its sites run out from {date_of(min(until))} on"


def _leaving(plan: Plan) -> Iterator[str]:
    """What leaves the site, and what hides one person in it."""
    masked = ", under masks that cancel in the sum of the sites alone" if plan.trust == "secagg" else ""
    steps = "" if plan.steps_per_round == 1 else f", after {plan.steps_per_round} steps each noised in full"
    loss = ", one of them the training loss" if plan.loss_weight else ""
    yield (
        f"leaves this site each round: one sum of {plan.dimension:,} numbers{loss} over whoever was"
        f" drawn{steps}{masked}; no recording and no count"
    )
    part = f"each {_one(plan)}" if plan.shard_size == 0 else f"each shard of about {plan.shard_size} of them"
    if issubclass(NAMES.get(plan.method, Method), RememberingMethod):
        yield (
            f"stays at this site: what the method learns of {part} from round to round, without noise, in"
            " LEDGER.memory beside the ledger; erased after the last round, and by fedmotion withdraw and"
            " join retract"
        )
    yield (
        f"clipped: the part of {part} has length {plan.clip_norm:g} at most, whatever the"
        " recordings are; what is beyond is cut off"
    )
    if plan.noise_multiplier == 0:
        yield "noised: not at all: whoever sees the sum may learn whether a person took part"
        return
    whose = {
        "local": "each site adds all of it",
        "secagg": "the sites add it together",
        "central": "the server adds it",
    }[plan.trust]
    yield (
        f"noised: random numbers of standard deviation {plan.noise_std:g} are added to every number of the"
        f" sum, {plan.noise_multiplier:.4g} times what one {_one(plan)} can change ({whose})"
    )


def _trust(plan: Plan) -> Iterator[str]:
    if plan.trust == "local":
        yield "trust: in nobody: the noise is added here, so the promise holds against the server, too"
    elif plan.trust == "central":
        yield "trust: in the server: it sees this site's sum without noise; for simulations alone"
    else:
        n, m, c = len(plan.roster), plan.min_sites, plan.colluders
        yield (
            f"trust: the server sees only the sum of at least {m} of the {n} sites. Each adds a share of the"
            f" noise such that any {m - c} of them add enough: the promise holds while at most {c} of the"
            " sites share what they know with the server"
        )


def _cost(plan: Plan, cost: Mapping[str, Any]) -> str:
    """What a person is charged, with all that an epsilon is never said without."""
    epsilon = math.inf if cost["epsilon"] is None else cost["epsilon"]
    k = plan.sites_per_person
    where = "if at no other site, as the plan assumes" if k == 1 else f"at all of up to {k} sites together"
    return (
        f"every {plan.unit} is charged epsilon {epsilon:.4g} at delta {plan.delta:.3g} {where}"
        f" ({NEIGHBOURING}, {cost['accountant']}, trust {plan.trust}); reserved when the run begins, and"
        " not refunded"
    )


def _one(plan: Plan) -> str:
    return "person" if plan.unit == "user" else "record"


def _learned(plan: Plan) -> str:
    codec = str(plan.codec.get("kind", ""))[:_MOST_LETTERS]
    text = " and of sentences" if plan.text else ""
    return f"{codec} motions of {len(plan.labels)} declared labels{text}"


def _listed(options: Mapping[str, Any]) -> str:
    told = (f"{name} {value}"[:_MOST_LETTERS] for name, value in sorted(options.items()))
    return ", ".join(told) or "its defaults"
