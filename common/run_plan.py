"""The run plan: a plan as a file in its coordinator's signature, for stewards to read and agree to.

What stands under `cost` tells a reader what the coordinator counts; a site computes its own.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.accounting import ACCOUNTANT, epsilon
from common.errors import InputError, Refusal, RefusalCode
from common.event import NEIGHBOURING
from common.plan import Plan
from common.signing import attest, attested, public_name
from common.storage import read_json, write_json

RUN_PLAN: Final = "plan.json"
"""Its name in the folder of a run."""
_FORMAT: Final = "run plan"
_PURPOSE: Final = "fedmotion run plan"


def write_run_plan(path: Path, plan: Plan, key: Ed25519PrivateKey) -> str:
    """Write `plan` to `path`, signed with the `coordinator_key` that it names, and return its digest.

    Raises InputError where `key` is another, or nobody is in the plan's roster.
    """
    if plan.coordinator_key != public_name(key):
        raise InputError("a run plan is signed with the coordinator's key that it names")
    if not plan.roster:
        raise InputError("a run plan names the sites that it is for: its roster is empty")
    digest = plan.digest()
    fields: dict[str, Any] = {
        "fedmotion": _FORMAT,
        "digest": digest,
        "plan": asdict(plan),
        "cost": cost(plan),
        "signature": attest(key, _PURPOSE, digest),
    }
    write_json(path, fields)
    return digest


def read_run_plan(path: Path, signer: str | None = None) -> Plan:
    """The plan at `path`, whose digest says it all; InputError where it is missing, changed or unsigned.

    Raises Refusal(FOREIGN) where it is another coordinator's than `signer`, a public key in hexadecimal.
    """
    fields = read_json(path, "give the file that the coordinator sent", "ask the coordinator for it again")
    try:
        if fields["fedmotion"] != _FORMAT:
            raise ValueError("it is something else")
        plan = Plan.from_json(json.dumps(fields["plan"]))
        digest = plan.digest()
        if fields["digest"] != digest or not attested(
            plan.coordinator_key, fields["signature"], _PURPOSE, digest
        ):
            raise ValueError("its signature is not its coordinator's: it was changed or damaged")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, InputError) as error:
        raise InputError(f"{path} is no run plan: {error}; ask the coordinator for it again") from None
    if signer is not None and plan.coordinator_key != signer:
        raise Refusal(RefusalCode.FOREIGN, f"{path} is the plan of another coordinator: nothing is agreed to")
    return plan


def cost(plan: Plan) -> dict[str, Any]:
    """What all of `plan` costs one person, at all their sites together; epsilon None is infinite."""
    value = epsilon([plan.reserved()], plan.delta)
    return {
        "epsilon": value if math.isfinite(value) else None,
        "delta": plan.delta,
        "unit": plan.unit,
        "neighbouring": NEIGHBOURING,
        "accountant": ACCOUNTANT,
        "trust": plan.trust,
        "sites_per_person": plan.sites_per_person,
    }
