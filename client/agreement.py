"""The commands `join show | agree | retract`: a site's yes to one run plan, and taking it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from client.joining import SiteToml
from client.ledger import Budget, Ledger
from client.membership import Membership
from client.site import SiteFile
from client.terms import facts, words
from common.accounting import epsilon
from common.card import date_of
from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.plan import Plan
from common.run_plan import cost as cost_of
from common.run_plan import read_run_plan
from common.witness import is_hex

PlanFile = Annotated[
    Path, typer.Argument(metavar="PLAN.json", help="The run plan that the coordinator sent.")
]


def show(
    plan: PlanFile,
    site: Annotated[
        Path | None, typer.Argument(metavar="[SITE.toml]", help="With it: what it means for this site.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """What a run plan asks, in plain words: who, how, what leaves the site, and what a person is charged.

    With SITE.toml also what the site's ledger has left before and after, and whether the site could agree.
    """
    found = read_run_plan(plan)
    price = cost_of(found)
    file = None if site is None else SiteFile.read(site)
    membership = None if file is None else file.membership()
    refused = None if file is None or membership is None else _refused(file, membership, found)
    left = None if file is None else _left(file, found, price["epsilon"])
    if as_json:
        told = facts(found, price)
        if file is not None and membership is not None:
            told |= {"ledger": left, "could_agree": refused is None, "refused": refused}
            told["agreed"] = membership.agreed(found.digest())
        print(json.dumps(told, indent=2))
        return
    for line in words(found, price, _asker(found, membership)):
        print(line)
    if left is not None:
        for line in _ledger_words(left):
            print(line)
    if file is not None and membership is not None:
        print(_verdict(membership, found, refused, f"fedmotion join agree {site} {plan}"))


def agree(
    site: SiteToml,
    plan: PlanFile,
    hash: Annotated[
        str, typer.Option(help="The plan's hash, as join show prints it and the coordinator tells it.")
    ],
) -> None:
    """Say yes to one run plan, by its hash; nothing of it runs before, and no other plan runs with it.

    Refused is a plan of another hash or coordinator, outside the site's rules, over its budget, or for
    another version of the code.
    """
    file = SiteFile.read(site)
    membership = file.membership()
    found = read_run_plan(plan, signer=membership.coordinator.key)
    digest = found.digest()
    if hash.strip().lower() != digest:
        raise Refusal(
            RefusalCode.NOT_AGREED,
            f"{plan} is not the plan of that hash: look at it with fedmotion join show, and ask the"
            " coordinator which is meant; nothing is agreed to",
        )
    require_agreeable(file, membership, found)
    path = membership.keep_agreement(digest)
    print(f"site {file.name} agrees to run {found.run_id}, plan {digest}")
    print(f"kept in {path}; the coordinator's next message begins the run")
    print(f"take it back with fedmotion join retract {site} --hash {digest}")


def retract(
    site: SiteToml, hash: Annotated[str, typer.Option(help="The hash of the plan that was agreed to.")]
) -> None:
    """Take the yes to a plan back: every later message under it is refused, from the next one on.

    What was reserved for the plan stays reserved, and what was released stays released. What critics
    learned under it is erased.
    """
    from client.memory import Memory

    digest = hash.strip().lower()
    if not is_hex(digest, 32):
        raise InputError("--hash is the plan's hash of 64 hexadecimal digits, as join show prints it")
    file = SiteFile.read(site)
    if not file.membership().withdraw_agreement(digest):
        raise InputError(f"site {file.name} has not agreed to a plan {digest}")
    Memory(file.ledger).close_plan(digest)
    print(f"site {file.name} takes part in plan {digest} no longer; nothing is refunded")


def require_agreeable(file: SiteFile, membership: Membership, plan: Plan) -> None:
    """Refusal unless the gate of `file` would take `plan`, the agreement apart; looks at no data."""
    membership.require_valid()
    membership.require_fit(plan)
    file.rules().admit(plan, file.declared_population)
    with Ledger.read(file.ledger) as ledger:
        price = epsilon([plan.reserved()], plan.delta)
        ledger.accounts.has_to_reserve(plan, plan.digest(), price)


def _refused(file: SiteFile, membership: Membership, plan: Plan) -> str | None:
    """Why the site could not agree, in words; None where it could."""
    try:
        require_agreeable(file, membership, plan)
    except FedmotionError as error:
        return str(error)
    return None


def _left(file: SiteFile, plan: Plan, cost: float | None) -> dict[str, Any]:
    """What the ledger has left for a person before and after `plan`; an infinite epsilon is None."""
    with Ledger.read(file.ledger) as ledger:
        budget, used = ledger.budget, ledger.accounts.reserved()
        reserved = plan.digest() in ledger.accounts.plans
    before = Budget(epsilon=budget.epsilon - used.epsilon, delta=budget.delta - used.delta)
    after = before
    if not reserved:
        price = float("inf") if cost is None else cost
        after = Budget(epsilon=before.epsilon - price, delta=before.delta - plan.delta)
    return {
        "budget": _finite(budget),
        "before": _finite(before),
        "after": _finite(after),
        "reserved_already": reserved,
    }


def _finite(budget: Budget) -> dict[str, float | None]:
    finite = abs(budget.epsilon) != float("inf")
    return {"epsilon": budget.epsilon if finite else None, "delta": budget.delta}


def _ledger_words(left: dict[str, Any]) -> Iterator[str]:
    def said(part: str) -> str:
        value, delta = left[part]["epsilon"], left[part]["delta"]
        return f"epsilon {'without bound' if value is None else f'{value:.4g}'} at delta {delta:.3g}"

    yield f"this site's lifetime budget for every unit: {said('budget')}"
    if left["reserved_already"]:
        yield f"this plan is reserved here already; left for others: {said('before')}"
    else:
        over = left["after"]["delta"] < 0 or (left["after"]["epsilon"] or 0.0) < 0
        yield f"left before this plan: {said('before')}; after it: {'too little' if over else said('after')}"


def _asker(plan: Plan, membership: Membership | None) -> str:
    if membership is None:
        return f"whoever holds the key {plan.coordinator_key} (give SITE.toml to see whether you know it)"
    card = membership.coordinator
    if plan.coordinator_key != card.key:
        return f"a coordinator that this site has not joined, of key {plan.coordinator_key}"
    until = date_of(card.valid_until)
    return f"coordinator {card.name} at {card.address}, whom this site joined (until {until})"


def _verdict(membership: Membership, plan: Plan, refused: str | None, command: str) -> str:
    digest = plan.digest()
    if refused is not None:
        return f"this site cannot agree: {refused}"
    if membership.agreed(digest):
        return "this site has agreed to it"
    return f"to agree, once the coordinator has told you the same hash: {command} --hash {digest}"
