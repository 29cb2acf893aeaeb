"""What a ledger says to its owner and to an auditor: the account of every run, and the chain itself.

An export is JSON lines: first the site, its public key and the signed head, then every
entry with the salt and the exact body that its hash is made of. Nobody's name is in it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from client.accounts import Account, Accounts, Withdrawal
from client.book import attested_head
from client.chain import DOMAIN, DamageError, Tip, linked
from client.ledger import Ledger
from common.accounting import ACCOUNTANT, epsilon
from common.errors import InputError

FORMAT = "fedmotion ledger export 2"
_RULE = "sha256(domain | seq as 8 bytes, big-endian | hash before, 32 bytes, of entry 1 zeros | salt | body)"


def statement(ledger: Ledger, *, spent: bool = True) -> dict[str, Any]:
    """The whole account; every epsilon stands with its delta, an infinite one is null.

    What each run has `spent` takes the accountant's time.
    """
    accounts = ledger.accounts
    owner, budget, reserved = accounts.owner, ledger.budget, accounts.reserved()
    return {
        "ledger": str(ledger.path),
        "site": owner.site,
        "created": owner.created,
        "key": owner.key,
        "entries": ledger.tip.seq,
        "head": ledger.tip.hash.hex(),
        "unit": owner.unit,
        "neighbouring": owner.neighbouring,
        "accountant": ACCOUNTANT,
        "across_runs": "epsilon and delta add",
        "trust": sorted({account.plan.trust for account in accounts.plans.values()}),
        "budget": _cost(budget.epsilon, budget.delta),
        "reserved": _cost(reserved.epsilon, reserved.delta),
        "left": _cost(
            math.inf if math.isinf(budget.epsilon) else max(0.0, budget.epsilon - reserved.epsilon),
            max(0.0, budget.delta - reserved.delta),
        ),
        "runs": [_run(digest, account, spent) for digest, account in accounts.plans.items()],
        "withdrawals": [withdrawal(each) for each in accounts.withdrawals.values()],
    }


def withdrawal(found: Withdrawal) -> dict[str, Any]:
    """A withdrawal with the runs that it came too late for: (charged rounds) by run."""
    return {"mark": found.mark, "at": found.at, "affected": found.affected}


def _run(digest: str, account: Account, spent: bool) -> dict[str, Any]:
    plan, event = account.plan, account.spent()
    cost = min(epsilon([event], account.delta), account.epsilon) if spent and event.count else 0.0
    return {
        "run_id": plan.run_id,
        "plan": digest,
        "accepted": account.at,
        "method": plan.method,
        "trust": plan.trust,
        "unit": plan.unit,
        "rounds_planned": plan.rounds,
        "rounds_charged": account.rounds(),
        "charges": len(account.paid),
        "latest": _latest(account),
        "reserved": _cost(account.epsilon, account.delta),
        **({"spent": _cost(cost, account.delta)} if spent else {}),
        "events": [vars(event)] if event.count else [],
    }


def _latest(account: Account) -> dict[str, Any] | None:
    """The newest round and the digest of the model it was answered with: for sites to compare."""
    paid = account.latest
    return {"round": paid.round, "state": paid.state or None} if paid is not None else None


def _cost(epsilon: float, delta: float) -> dict[str, float | None]:
    return {"epsilon": epsilon if math.isfinite(epsilon) else None, "delta": delta}


def export(ledger: Ledger) -> str:
    """The chain with all that is needed to check it, as JSON lines."""
    tip, owner = ledger.tip, ledger.accounts.owner
    head = {
        "format": FORMAT, "site": owner.site, "key": owner.key, "entries": tip.seq, "head": tip.hash.hex(),
        "signature": ledger.signature(), "hash": _RULE, "domain": DOMAIN.decode(),
    }  # fmt: skip
    lines: list[dict[str, Any]] = [head]
    for entry in ledger.entries():
        lines.append(
            {"seq": entry.seq, "body": entry.body, "salt": entry.salt.hex(), "hash": entry.hash.hex()}
        )
    return "".join(json.dumps(line) + "\n" for line in lines)


def check(path: Path) -> tuple[Accounts, Tip, set[str]]:
    """Check a ledger, or an export of one: its accounts, its tip and all its hashes; raises DamageError."""
    try:
        with path.open("rb") as file:
            exported = file.read(1) == b"{"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if exported:
        return _check_export(path)
    with Ledger.read(path) as ledger:
        return ledger.accounts, ledger.tip, {entry.hash.hex() for entry in ledger.entries()}


def _check_export(path: Path) -> tuple[Accounts, Tip, set[str]]:
    accounts, tip, hashes = Accounts(), Tip(), set()
    try:
        head, *lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        rows = [(e["seq"], e["body"], bytes.fromhex(e["salt"]), bytes.fromhex(e["hash"])) for e in lines]
        for entry in linked(rows, Tip()):
            accounts.apply(entry)
            tip = Tip(entry.seq, entry.hash)
            hashes.add(entry.hash.hex())
        owner = accounts.owner
        claimed = (head["format"], head["site"], head["key"], head["entries"], head["head"])
        if claimed != (FORMAT, owner.site, owner.key, tip.seq, tip.hash.hex()):
            raise DamageError("its first line is not about these entries")
        if not attested_head(owner.key, owner.site, tip.hash, head["signature"]):
            raise DamageError(f"entry {tip.seq} is not the last that the site signed")
    except (LookupError, TypeError, ValueError) as error:
        raise DamageError(f"export {path} does not read: {error}") from None
    except DamageError as error:
        raise DamageError(f"export {path}: {error}") from None
    return accounts, tip, hashes
