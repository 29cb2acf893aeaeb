"""What `run.json` says of every run, simulated or deployed."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from common.accounting import ACCOUNTANT, epsilon
from common.event import NEIGHBOURING, PrivacyEvent
from common.plan import Plan
from server.checkpoint import Checkpoint

_RECORDS: Final = {"skeleton": "one motion", "sensor": "one window", "image": "one image"}


def describe(
    checkpoint: Checkpoint,
    outcome: Mapping[str, Any],
    sites: Sequence[Mapping[str, Any]],
    events: Sequence[PrivacyEvent],
    *,
    signer: str,
    data: str,
    epsilon_target: float,
    seed: int,
    engine: str,
) -> dict[str, Any]:
    """`sites` as `site_row` makes them; `events` are what a person at the most exposed site pays."""
    plan = checkpoint.plan
    return {
        "fedmotion": version("fedmotion"),
        "guarantee": plan.guarantee,
        "warning": plan.warning,
        "signer": signer,
        "method": plan.method,
        "options": dict(plan.options),
        "dimension": plan.dimension,
        "labels": list(plan.labels),
        "text": dict(plan.text) or None,
        "modality": plan.codec["modality"],
        "data": data,
        "record": _RECORDS[plan.codec["modality"]["kind"]],
        "privacy": {
            "unit": plan.unit,
            "neighbouring": NEIGHBOURING,
            "trust": plan.trust,
            "compression": plan.compression,
            "keep": plan.keep,
            "accountant": ACCOUNTANT,
            "delta": plan.delta,
            "epsilon_target": _finite(epsilon_target),
            "epsilon_spent": _finite(epsilon(list(events), plan.delta)),
            "sites_per_person": plan.sites_per_person,
            "clip_norm": plan.clip_norm,
            "shard_size": plan.shard_size,
            **_shares(plan),
            "events": [vars(event) for event in events],
        },
        "sites": list(sites),
        "rounds": checkpoint.state.round,
        "rounds_planned": plan.rounds,
        "stopped": outcome["stopped"],
        "refusals": outcome["refusals"],
        "seed": seed,
        "engine": engine,
        "versions": _versions(),
    }


def _shares(plan: Plan) -> dict[str, Any]:
    """What else a claim under `secagg` stands on."""
    if plan.trust != "secagg":
        return {}
    names = ("noise_multiplier", "min_sites", "colluders", "scale", "modulus_bits")
    return {name: getattr(plan, name) for name in names}


def site_row(name: str, population: int, events: Sequence[PrivacyEvent], delta: float) -> dict[str, Any]:
    """One site's entry, with what it has charged each of its people."""
    spent = _finite(epsilon(list(events), delta))
    return {"name": name, "declared_population": population, "epsilon_spent": spent}


def _versions() -> dict[str, str]:
    packages = ("torch", "flwr", "opacus", "dp-accounting", "numpy", "cryptography")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
