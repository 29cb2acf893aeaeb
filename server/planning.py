"""From what a run is to be to its plan: noise that meets the budget, from public facts alone.

Nothing here has seen data: every number is declared, or chosen by who starts the run.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from common.accounting import calibrate
from common.compression import Compression
from common.errors import InputError
from common.event import Trust, Unit, person_event, relation_of, sensitivity
from common.generator.assets import Assets
from common.integer_noise import KERNEL
from common.method import GradientMethod, RememberingMethod, digest_arrays
from common.methods import NAMES, build, checked_options, options_of
from common.plan import Plan
from common.roster import Member
from common.secagg.sizes import sizes_for

LOSS_SHARE: Final = 0.1
"""A loss of 1 takes this share of the clip norm, where the loss is released as well."""

_FEW: Final = 10
_AS_SAID: Final = (
    "clip_norm", "sampling_rate", "unit", "trust", "rounds", "steps_per_round", "sites_per_person",
    "compression", "keep", "coordinator_key", "roster", "colluders", "code", "shard_size",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run is to be.

    `units` are the declared units in training at all sites; `delta` is by default min(1e-5, 1 / (10
    units)); `loss_curve` adds the weighted loss as a last coordinate. Under `secagg` the `roster` is
    needed, `min_sites` is by default `fewest` of it, and of the sites that must release `colluders` may
    tell the server their shares of noise. The other fields are `common.plan.Plan`'s.
    """

    method: str
    units: int
    rounds: int
    epsilon: float
    delta: float | None
    sampling_rate: float
    clip_norm: float
    unit: Unit
    trust: Trust
    options: Mapping[str, Any] = field(default_factory=dict)
    steps_per_round: int = 1
    sites_per_person: int = 1
    loss_curve: bool = False
    compression: Compression = "none"
    keep: float = 1.0
    roster: tuple[Member, ...] = ()
    min_sites: int | None = None
    colluders: int = 1
    coordinator_key: str = ""
    code: str = ""
    shard_size: int = 0


def make_plan(terms: Terms, assets: Assets, run_id: str | None = None) -> Plan:
    """The whole claim of a run: method, noise and rounds; a new `run_id` unless one is given.

    The noise is the least whose cost (under `secagg` that of the integers: `Plan.shares`) stays within
    epsilon. Raises InputError naming what is out of range.
    """
    options = {**terms.options, "total_rounds": terms.rounds}
    require_able(terms.method, options, terms.shard_size, terms.steps_per_round, terms.loss_curve)
    method = build(terms.method, options, assets)
    dimension = method.dimension + terms.loss_curve
    delta = delta_of(terms)
    noise = _multiplier(terms, delta)
    fixed: dict[str, Any] = {}
    if terms.trust == "secagg":
        fixed = _whole_numbers(terms, noise, dimension)
        unit = terms.clip_norm * _spread(terms) * fixed["scale"]
        noise = math.hypot(noise, KERNEL / unit) * (1 + 1e-11) if noise else 0.0
    return Plan(
        run_id=run_id or uuid.uuid4().hex,
        method=terms.method,
        options=options_of(method),
        dimension=dimension,
        noise_multiplier=noise,
        delta=delta,
        arrays_digest=digest_arrays(assets.arrays()),
        labels=assets.codec.labels,
        codec=assets.codec.description(),
        text=assets.text_description(),
        loss_weight=LOSS_SHARE * terms.clip_norm if terms.loss_curve else 0.0,
        min_sites=terms.min_sites or fewest(terms.trust, len(terms.roster)),
        **{name: getattr(terms, name) for name in _AS_SAID},
        **fixed,
    )


def require_able(
    method: str, options: Mapping[str, Any], shard_size: int, steps_per_round: int, loss_curve: bool
) -> None:
    """InputError unless there is such a method, it takes these options and can do what else is asked.

    All that can be said of it before there are data, or a codec.
    """
    checked_options(method, options)
    kind = NAMES[method]
    if shard_size > 0 and not issubclass(kind, RememberingMethod):
        raise InputError(
            f"shard_size is {shard_size}, and method {method} knows no shards: leave it out, or take one"
            f" with a memory at the sites: {', '.join(_names(RememberingMethod))}"
        )
    asked = f"steps_per_round is {steps_per_round}" if steps_per_round > 1 else "loss_curve is true"
    if (steps_per_round > 1 or loss_curve) and not issubclass(kind, GradientMethod):
        raise InputError(
            f"{asked}, and method {method} has no gradient steps and no loss: leave it out, or choose from"
            f" {', '.join(_names(GradientMethod))}"
        )


def _names(kind: type[Any]) -> list[str]:
    return [name for name, method in NAMES.items() if issubclass(method, kind)]


def fewest(trust: Trust, sites: int) -> int:
    """By default a round needs all of up to nine sites under `secagg`, of more nine in ten; else one."""
    if trust != "secagg":
        return 1
    return max(1, sites - (max(1, sites // _FEW) if sites >= _FEW else 0))


def default_delta(units: int) -> float:
    """Far below one over the units, where nobody says another."""
    return min(1e-5, 1 / (10 * units))


def delta_of(terms: Terms) -> float:
    """The plan's delta; InputError where it is not below one over the units."""
    delta = default_delta(terms.units) if terms.delta is None else terms.delta
    if delta * terms.units >= 1:
        raise InputError(
            f"delta {delta} is not below 1/{terms.units}, one over the units: give a smaller --delta"
        )
    return delta


def _spread(terms: Terms) -> float:
    """The sensitivity of a sum in units of C."""
    return sensitivity(1.0, relation_of(terms.shard_size), terms.sampling_rate)


def _multiplier(terms: Terms, delta: float) -> float:
    event = person_event(
        noise_multiplier=1.0,
        sampling_rate=terms.sampling_rate,
        steps=terms.rounds * terms.steps_per_round,
        sites_per_person=terms.sites_per_person,
        trust=terms.trust,
    )
    return calibrate(terms.epsilon, delta, event.sampling_rate, event.count, event.multiplicity)


def _whole_numbers(terms: Terms, noise: float, dimension: int) -> dict[str, int]:
    """`scale` and `modulus_bits` of the sums under `secagg`."""
    sites = len(terms.roster)
    if sites < 2:
        raise InputError(f"trust secagg adds up several sites, and the run has {sites}: take 2 or more")
    found = sizes_for(
        clip_norm=terms.clip_norm,
        dimension=dimension,
        noise_multiplier=noise * _spread(terms),
        sampling_rate=terms.sampling_rate,
        roster=terms.roster,
        min_sites=terms.min_sites or fewest("secagg", sites),
        colluders=terms.colluders,
    )
    return asdict(found)
