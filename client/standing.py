"""What a site's operator and its monitoring may see: public facts, and nothing that people bear on."""

from __future__ import annotations

from typing import Any

from client.ledger import Ledger
from client.membership import Membership
from client.site import SiteFile
from client.statement import statement
from common.signing import public_name

_PUBLIC = ("unit", "neighbouring", "accountant", "across_runs", "budget", "reserved", "left")
_RUN = ("run_id", "plan", "accepted", "method", "trust", "rounds_planned", "rounds_charged", "reserved")


def standing(site: SiteFile, membership: Membership) -> dict[str, Any]:
    """Names and keys, the plans accepted with their rounds, and the budget; each epsilon with its delta.

    No withdrawals and no number of entries: they tell of people. The ledger is read while the gate holds it.
    """
    with Ledger.read(site.ledger) as ledger:
        account = statement(ledger, spent=False)
    agreed = sorted(path.stem for path in membership.folder.glob("agreed/*.json"))
    coordinator = membership.coordinator
    return {
        "site": site.name,
        "key": public_name(membership.key),
        "coordinator": {
            "name": coordinator.name,
            "address": coordinator.address,
            "fingerprint": coordinator.fingerprint,
            "valid_until": coordinator.valid_until,
        },
        "trust": list(site.trust),
        **{key: account[key] for key in _PUBLIC},
        "plans": [{key: run[key] for key in _RUN} for run in account["runs"]],
        "agreed": [digest for digest in agreed if membership.agreed(digest)],
        "warning": None if site.test_seed is None else "test mode: no privacy guarantee",
    }
