"""Securely aggregated rounds with real doors, and an honest coordinator that takes them through the phases.

Every step can be watched or kept from a site, so that dropouts and attacks are written where they happen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict
from torch import Tensor

from client.door import Door
from client.gate import LocalGate
from client.ledger import Budget, Ledger
from client.membership import AGREED, Membership
from client.policy import SitePolicy
from client.users import Users
from common.card import Card
from common.errors import Refusal
from common.noise import Source
from common.plan import Plan
from common.query import Query, Release, Seen
from common.roster import Member
from common.seal import COORDINATOR, seal, unseal
from common.secagg.masked_sum import MaskedSum
from common.secagg.messages import (
    Advertise,
    Cohort,
    Confirm,
    Confirmed,
    Keys,
    Shared,
    Shares,
    Unmask,
    Unmasked,
)
from common.secagg.wire import decode, encode
from common.signing import public_name
from common.storage import write_json
from common.wire import decode_acceptance, decode_release, encode_plan, encode_query, for_site
from tests.small_site import POPULATION, ask, assets_of, make_plan, make_state, speed_of

Words = Sequence[str]
SERVER = Ed25519PrivateKey.from_private_bytes(b"coordinator".ljust(32, b"."))
PHASES = ("advertise", "share", "release", "confirm", "unmask")


def names_of(count: int) -> list[str]:
    return [f"site{number:03}" for number in range(count)]


def identity_of(name: str) -> Ed25519PrivateKey:
    """The same key for the same name, in every test."""
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))


def secagg_plan(sites: int, min_sites: int, colluders: int = 1, **changes: Any) -> Plan:
    roster = tuple(
        Member(site=name, key=public_name(identity_of(name)), population=POPULATION)
        for name in names_of(sites)
    )
    changes = {"scale": 2**16, "modulus_bits": 32, "rounds": 20, **changes}
    plan = make_plan()
    return replace(
        plan,
        trust="secagg",
        roster=roster,
        coordinator_key=public_name(SERVER),
        min_sites=min_sites,
        colluders=colluders,
        **changes,
    )


@dataclass
class Site:
    """One site: its door, and what is behind it for tests to look at."""

    name: str
    door: Door
    gate: LocalGate
    ledger: Ledger
    membership: Membership

    def answer(self, content: RecordDict) -> RecordDict:
        """Its answer to `content`, which goes under the server's seal and comes back under the site's."""
        asked, seal_of_it = seal(content, SERVER, COORDINATOR, self.name)
        answer = self.door.answer(asked)
        unseal(answer, public_name(self.membership.key), self.name, COORDINATOR, seal_of_it.digest())
        return answer


def open_site(
    folder: Path, name: str, people: Users | Callable[[], Users], seed: int | None = None, **given: Any
) -> Site:
    """A site named `name` whose ledger lies in `folder`, made where there is none yet."""
    path = folder / f"{name}.sqlite"
    if not path.exists():
        Ledger.make(path, name, "user", Budget(epsilon=1e9, delta=0.5))
    ledger = Ledger.open(path)
    gate = LocalGate(
        ledger=ledger,
        policy=SitePolicy(unit="user", trust=("secagg",), methods=("dp_sgd",)),
        declared_population=POPULATION,
        people=(lambda: people) if isinstance(people, Users) else people,
        source=Source(seed),
        speed=speed_of(given.pop("engine", "auto"), 64),
        identity=given.pop("identity", identity_of(name)),
    )
    card = Card(role="coordinator", name="server", key=public_name(SERVER), valid_until=2**40).sign(SERVER)
    membership = Membership(site=name, folder=folder / name, key=identity_of(name), coordinator=card)
    return Site(name, Door(gate, membership), gate, ledger, membership)


@dataclass
class Attempt:
    """One attempt as the coordinator sees it, phase by phase; a refusal leaves its site out."""

    plan: Plan
    sites: dict[str, Site]
    round: int = 1
    attempt: str = field(default_factory=lambda: os.urandom(16).hex())
    scale: float = 0.3
    seen: tuple[Seen, ...] = ()
    cohort: Cohort | None = None
    shared: dict[str, Shared] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)
    confirmed: dict[str, Confirmed] = field(default_factory=dict)
    replies: dict[str, Unmasked] = field(default_factory=dict)
    refusals: list[tuple[str, str, Refusal]] = field(default_factory=list)

    def advertise(self, names: Iterable[str]) -> Cohort:
        asked = Advertise(
            run_id=self.plan.run_id, plan_digest=self.plan.digest(), round=self.round, attempt=self.attempt
        )
        keys = self._each("advertise", names, lambda _: encode(asked), lambda c: decode(c, Keys))
        self.cohort = Cohort(**vars(asked), keys=tuple(keys[name] for name in sorted(keys)))
        return self.cohort

    def share(self, names: Iterable[str]) -> None:
        cohort = self.cohort
        self.shared = self._each("share", names, lambda _: encode(cohort), lambda c: decode(c, Shared))

    def boxes(self, name: str) -> list[Shares]:
        """What the others sealed for `name`."""
        return [box for shared in self.shared.values() for box in shared.shares if box.recipient == name]

    def query(self) -> Query:
        assert self.cohort is not None
        state = make_state(self.plan, self.round, self.scale)
        return ask(self.plan, state, cohort=self.cohort.digest(), seen=self.seen)

    def release(self, names: Iterable[str]) -> None:
        query = self.query()
        content = encode_query(query, make_state(self.plan, self.round, self.scale))
        self.releases = self._each(
            "release",
            names,
            lambda name: for_site(content, query, self.boxes(name)),
            lambda c: decode_release(c, query, self.plan),
        )

    def told(self) -> tuple[Seen, ...]:
        """What the next round's query shows of this one."""
        return tuple(release.seen for release in self.releases.values() if release.seen is not None)

    def list(self) -> Confirm:
        assert self.cohort is not None
        return Confirm(
            run_id=self.plan.run_id,
            plan_digest=self.plan.digest(),
            round=self.round,
            cohort=self.cohort.digest(),
            survivors=tuple(sorted(self.releases)),
        )

    def confirm(self, names: Iterable[str]) -> None:
        asked = self.list()
        self.confirmed = self._each("confirm", names, lambda _: encode(asked), lambda c: decode(c, Confirmed))

    def unmask(self, names: Iterable[str]) -> None:
        asked = Unmask(**vars(self.list()), confirmed=tuple(self.confirmed.values()))
        self.replies = self._each("unmask", names, lambda _: encode(asked), lambda c: decode(c, Unmasked))

    def total(self) -> Tensor:
        """The sum of the survivors' whole numbers; FedmotionError where nothing comes out."""
        assert self.cohort is not None
        total = MaskedSum(self.plan, self.cohort, list(self.shared.values()))
        for name, release in self.releases.items():
            total.add(name, release.total)
        for reply in self.replies.values():
            total.hear(reply)
        return total.total()

    def run(self, dropped: dict[str, Collection[str]] | None = None) -> Tensor:
        """All phases; `dropped` are the sites that are gone from a phase on."""
        gone: set[str] = set()
        alive = list(self.sites)
        for phase in PHASES:
            gone |= set((dropped or {}).get(phase, ()))
            alive = [name for name in alive if name not in gone]
            getattr(self, phase)(alive)
            refused = {name for _, name, _ in self.refusals}
            alive = [name for name in alive if name not in refused]
        return self.total()

    def _each(
        self,
        phase: str,
        names: Iterable[str],
        question: Callable[[str], RecordDict],
        read: Callable[[RecordDict], Any],
    ) -> dict[str, Any]:
        found = {}
        for name in names:
            try:
                found[name] = read(self.sites[name].answer(question(name)))
            except Refusal as refusal:
                self.refusals.append((phase, name, refusal))
        return found


def accept(plan: Plan, sites: Iterable[Site]) -> None:
    """Put `plan` to every site."""
    content = encode_plan(plan, assets_of(plan.method, plan.options).arrays())
    for site in sites:
        agreed = site.membership.folder / AGREED
        agreed.mkdir(parents=True, exist_ok=True)
        write_json(agreed / f"{plan.digest()}.json", site.membership.agree(plan.digest()))
        decode_acceptance(site.answer(content))
