"""What the entries of a ledger add up to: plans with their reservations and charges, and withdrawals.

Everything a ledger answers is read from here, and everything here comes from an entry
whose hash was checked. The rules of the budget stand here too, so that reading a ledger
checks again what was checked when it was written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from client.chain import DamageError, Entry
from common.errors import FedmotionError, Refusal, RefusalCode
from common.event import NEIGHBOURING, PrivacyEvent
from common.plan import Plan
from common.query import Query, sha256_of

_UNFIT = (FedmotionError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A person's lifetime budget at this site, over every run."""

    epsilon: float
    delta: float


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose ledger it is; `key` is its public key in hexadecimal. One unit and one neighbouring relation."""

    site: str
    unit: str
    neighbouring: str
    budget: Budget
    key: str
    created: str


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """One person's withdrawal: the mark, when, and after which charged runs."""

    mark: str
    at: str
    affected: dict[str, int]
    """Charged rounds of each run before it, by run_id: what came of them may have learned from the person."""


@dataclass(kw_only=True)
class Paid:
    """One charge: number `number` of its plan; `stored` is the entry that holds its release.

    `state` is the digest of the model state that it answered with; empty in what older versions wrote.
    """

    number: int
    round: int
    digest: str
    state: str = ""
    stored: int | None = None
    withdrawn: int = 0


@dataclass(kw_only=True)
class Account:
    """One accepted plan: what it reserved, what was charged, and the hashes its coordinator was shown."""

    plan: Plan
    seq: int
    at: str
    epsilon: float
    delta: float
    head: bytes
    heads: set[bytes] = field(default_factory=set)
    paid: list[Paid] = field(default_factory=list)
    by_digest: dict[str, Paid] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    """The state digest that each charged round was answered with, where it is known."""

    @property
    def latest(self) -> Paid | None:
        return self.paid[-1] if self.paid else None

    def answered(self, digest: str) -> bool:
        """Whether the newest charge is of the query `digest`, and its final bytes are kept."""
        latest = self.latest
        return latest is not None and latest.digest == digest and latest.stored is not None

    def spent(self) -> PrivacyEvent:
        """All that was charged under this plan."""
        return self.plan.spent(len(self.paid))

    def rounds(self) -> int:
        """How many different rounds were charged."""
        return len({paid.round for paid in self.paid})

    def show(self, hash: bytes) -> None:
        self.head = hash
        self.heads.add(hash)

    def require_new(self, query: Query, digest: str, event: PrivacyEvent) -> None:
        """Raise Refusal(STALE) for a round that is over, BUDGET_EXHAUSTED past the reservation."""
        latest = self.latest
        if (latest is not None and query.round < latest.round) or digest in self.by_digest:
            raise Refusal(RefusalCode.STALE, f"round {query.round} was answered already")
        if event != self.plan.event() or len(self.paid) >= self.plan.rounds:
            raise Refusal(
                RefusalCode.BUDGET_EXHAUSTED,
                f"{len(self.paid)} of the plan's {self.plan.rounds} rounds are spent: {event} does not fit",
            )

    def require_witnessed(self, query: Query, site: str) -> None:
        """Raise Refusal(ROLLED_BACK) if the coordinator has seen a head that is not here any more.

        A coordinator was only ever shown heads of its own plan, and is told of no others.
        """
        witness = query.witness
        if witness is None:
            return
        if not witness.signed_by(self.plan.coordinator_key, query.plan_digest, site):
            raise Refusal(RefusalCode.MALFORMED, "the witness is not in the coordinator's signature")
        if bytes.fromhex(witness.head) not in self.heads:
            raise Refusal(
                RefusalCode.ROLLED_BACK,
                f"the coordinator of run {self.plan.run_id} has seen a later state of this ledger: it was"
                " restored from an older backup; put the newest one back",
            )


class Accounts:
    """The sum of a ledger's entries, one `apply` at a time."""

    def __init__(self) -> None:
        self._owner: Owner | None = None
        self.plans: dict[str, Account] = {}
        self.runs: dict[str, str] = {}
        self.withdrawals: dict[str, Withdrawal] = {}
        self.attachments: dict[int, str] = {}
        """SHA-256 of what is kept beside an entry, by its number: plans' arrays, releases' final bytes."""

    @property
    def owner(self) -> Owner:
        if self._owner is None:
            raise DamageError("entry 1 is missing")
        return self._owner

    def plan(self, digest: str) -> Account:
        """An accepted plan's account; raises Refusal(UNKNOWN_PLAN)."""
        if digest not in self.plans:
            raise Refusal(RefusalCode.UNKNOWN_PLAN, "no such plan was accepted here")
        return self.plans[digest]

    def reserved(self) -> Budget:
        """What all accepted plans have reserved: across plans epsilon and delta add."""
        return Budget(
            epsilon=math.fsum(account.epsilon for account in self.plans.values()),
            delta=math.fsum(account.delta for account in self.plans.values()),
        )

    def events(self, plan_digest: str | None = None) -> list[PrivacyEvent]:
        """What has been charged (under one plan, or under all), in canonical order."""
        counts: dict[tuple[float, float, int], int] = {}
        for digest, account in self.plans.items():
            if plan_digest not in (None, digest):
                continue
            event = account.spent()
            key = event.noise_multiplier, event.sampling_rate, event.multiplicity
            counts[key] = counts.get(key, 0) + event.count
        return [
            PrivacyEvent(noise_multiplier=z, sampling_rate=q, count=count, multiplicity=k)
            for (z, q, k), count in sorted(counts.items())
            if count
        ]

    def has_to_reserve(self, plan: Plan, digest: str, cost: float) -> bool:
        """Whether `plan` is not reserved yet; Refusal where it may not be."""
        known = self.runs.get(plan.run_id)
        if known == digest:
            return False
        if known is not None:
            raise Refusal(RefusalCode.POLICY, f"run {plan.run_id} already has another plan here")
        if plan.unit != self.owner.unit:
            raise Refusal(RefusalCode.POLICY, f"the ledger's unit is {self.owner.unit}, not {plan.unit}")
        self.require_room(cost, plan.delta)
        return True

    def require_room(self, epsilon: float, delta: float) -> None:
        """Raise Refusal(BUDGET_EXHAUSTED) unless a plan of this cost fits beside those reserved."""
        used, budget = self.reserved(), self.owner.budget
        fits = used.epsilon + epsilon <= budget.epsilon and used.delta + delta <= budget.delta * (1 + 1e-9)
        if not fits:  # also where a sum is not a number
            raise Refusal(
                RefusalCode.BUDGET_EXHAUSTED,
                f"the plan costs epsilon {epsilon:.4g} at delta {delta:.3g} on top of {used.epsilon:.4g}"
                f" reserved; the budget is {budget.epsilon:.4g} at {budget.delta:.3g}",
            )

    def apply(self, entry: Entry) -> None:
        """Add one entry; raises DamageError if no ledger would have written it here."""
        try:
            facts = json.loads(entry.body)
            if (facts["kind"] == "created") != (entry.seq == 1):
                raise ValueError("a ledger is created once")
            _APPLY[facts["kind"]](self, entry, facts)
        except _UNFIT as error:
            raise DamageError(f"entry {entry.seq} does not follow from those before: {error}") from None

    def _create(self, entry: Entry, facts: dict[str, Any]) -> None:
        if facts["neighbouring"] != NEIGHBOURING:
            raise ValueError(f"neighbouring relation {facts['neighbouring']!r}")
        self._owner = Owner(
            site=facts["site"],
            unit=facts["unit"],
            neighbouring=facts["neighbouring"],
            budget=Budget(epsilon=_number(facts["epsilon"]), delta=facts["delta"]),
            key=facts["key"],
            created=facts["at"],
        )

    def _reserve(self, entry: Entry, facts: dict[str, Any]) -> None:
        plan = Plan.from_json(facts["terms"])
        if (
            sha256_of(json.loads(facts["terms"])) != facts["plan"]
            or plan.unit != self.owner.unit
            or plan.run_id in self.runs
        ):
            raise ValueError("the plan is not the one it names, or not this ledger's")
        account = Account(
            plan=plan,
            seq=entry.seq,
            at=facts["at"],
            epsilon=_number(facts["epsilon"]),
            delta=facts["delta"],
            head=entry.hash,
        )
        self.require_room(account.epsilon, account.delta)
        account.show(entry.hash)
        self.plans[facts["plan"]] = account
        self.runs[plan.run_id] = facts["plan"]
        self.attachments[entry.seq] = facts["arrays"]

    def _charge(self, entry: Entry, facts: dict[str, Any]) -> None:
        account = self.plans[facts["plan"]]
        event = account.plan.event()
        paid = Paid(
            number=facts["number"], round=facts["round"], digest=facts["digest"], state=facts.get("state", "")
        )
        if {name: facts[name] for name in asdict(event)} != asdict(event):
            raise ValueError("the event is not the plan's")
        if paid.number != len(account.paid) + 1 or paid.number > account.plan.rounds:
            raise ValueError(f"charge {paid.number} of {account.plan.rounds}")
        if account.plan.roster and account.states.get(paid.round, paid.state) != paid.state:
            raise ValueError(f"round {paid.round} was answered with another state")
        if account.latest is not None and account.latest.stored is not None:
            del self.attachments[account.latest.stored]
        account.paid.append(paid)
        account.by_digest[paid.digest] = paid
        if paid.state:
            account.states[paid.round] = paid.state

    def _store(self, entry: Entry, facts: dict[str, Any]) -> None:
        account = self.plans[facts["plan"]]
        paid = account.paid[-1]
        if paid.number != facts["number"] or paid.stored is not None:
            raise ValueError(f"charge {facts['number']} holds a release already, or is over")
        paid.stored, paid.withdrawn = entry.seq, facts["withdrawn"]
        self.attachments[entry.seq] = facts["payload"]
        account.show(entry.hash)

    def _withdraw(self, entry: Entry, facts: dict[str, Any]) -> None:
        mark = facts["person"]
        if mark in self.withdrawals:
            raise ValueError("the person withdrew already")
        affected = {a.plan.run_id: a.rounds() for a in self.plans.values() if a.paid}
        self.withdrawals[mark] = Withdrawal(mark=mark, at=facts["at"], affected=affected)


_APPLY: dict[str, Callable[[Accounts, Entry, dict[str, Any]], None]] = {
    "created": Accounts._create,
    "reserved": Accounts._reserve,
    "charged": Accounts._charge,
    "stored": Accounts._store,
    "withdrawn": Accounts._withdraw,
}


def _number(value: float | None) -> float:
    """JSON has no infinity: null stands for it."""
    return math.inf if value is None else value
