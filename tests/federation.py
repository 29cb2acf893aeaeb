"""A small federation in this process: real doors with keys and ledgers, and a coordinator that may lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict

from client.door import Door
from client.ledger import Budget, Ledger
from client.membership import AGREED, Membership
from common.card import Card
from common.errors import Refusal
from common.method import PublicState
from common.plan import Plan
from common.query import Acceptance, Query, Release, Seen
from common.roster import Member
from common.seal import COORDINATOR, Seal, seal, unseal
from common.secagg.messages import Advertise, Cohort, Confirm, Confirmed, Keys, Shared, Unmask
from common.secagg.wire import decode, encode
from common.signing import public_name
from common.storage import write_json
from common.wire import decode_acceptance, decode_release, encode_plan, encode_query, for_site
from tests.small_site import POPULATION, ask, crowd, make_gate, make_plan, make_state

FAR: Final = 2**40


def key_of(name: str) -> Ed25519PrivateKey:
    """The same key for a name at every run."""
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")[:32])


def coordinators_card(key: Ed25519PrivateKey, **changes: Any) -> Card:
    card = Card(role="coordinator", name="hub", key=public_name(key), valid_until=FAR)
    return replace(card, **changes).sign(key)


def make_membership(folder: Path, site: str, server: Ed25519PrivateKey) -> Membership:
    return Membership(site=site, folder=folder, key=key_of(site), coordinator=coordinators_card(server))


def agree(membership: Membership, plan: Plan) -> None:
    """The steward's yes."""
    digest = plan.digest()
    (membership.folder / AGREED).mkdir(parents=True, exist_ok=True)
    write_json(membership.folder / AGREED / f"{digest}.json", membership.agree(digest))


def roster_of(*sites: str, **changes: Any) -> tuple[Member, ...]:
    return tuple(
        replace(Member(site=site, key=public_name(key_of(site)), population=POPULATION), **changes)
        for site in sorted(set(sites))
    )


class Site:
    """One site: folder, ledger, gate and door."""

    def __init__(self, folder: Path, name: str, server: Ed25519PrivateKey, people: int = 5) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.membership = make_membership(self.folder, name, server)
        self.people = people
        if not (self.folder / "ledger").exists():
            Ledger.make(self.folder / "ledger", name, "user", Budget(epsilon=math.inf, delta=0.5))
        self.open()

    def open(self) -> None:
        """As after a start of the machine: nothing is known but what is on disk."""
        self.ledger = Ledger.open(self.folder / "ledger")
        self.gate = make_gate(
            self.ledger, crowd(self.people), trust=("local", "secagg"), identity=self.membership.key
        )
        self.door = Door(self.gate, self.membership)

    def close(self) -> None:
        self.door.close()


class Federation:
    """Sites that agreed to one plan, and the key of the coordinator that they joined."""

    def __init__(self, folder: Path, *names: str, **changes: Any) -> None:
        self.key = key_of("server")
        changes = {"min_sites": len(names) // 2 + 1, **changes}
        self.plan = make_plan(coordinator_key=public_name(self.key), roster=roster_of(*names), **changes)
        self.sites = {name: Site(folder, name, self.key) for name in sorted(names)}
        for site in self.sites.values():
            agree(site.membership, self.plan)

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        for site in self.sites.values():
            site.close()

    def exchange(self, name: str, content: RecordDict) -> RecordDict:
        """The answer of a site to `content` under the coordinator's seal, its own seal checked."""
        question, asked = self.sealed(name, content)
        return self.opened(name, self.sites[name].door.answer(question), asked)

    def sealed(self, name: str, content: RecordDict) -> tuple[RecordDict, Seal]:
        return seal(content, self.key, COORDINATOR, name)

    def opened(self, name: str, answer: RecordDict, asked: Seal) -> RecordDict:
        member = self.plan.member(name)
        assert member is not None
        unseal(answer, member.key, name, COORDINATOR, asked.digest())
        return answer

    def enrol(self, *names: str) -> list[Acceptance]:
        """The plan put to every site, or to these."""
        content = encode_plan(self.plan, {})
        return [decode_acceptance(self.exchange(name, content)) for name in names or self.sites]

    def query(self, state: PublicState, seen: Sequence[Seen] = (), **changes: Any) -> Query:
        return ask(self.plan, state, seen=tuple(seen), **changes)

    def release(self, name: str, state: PublicState, seen: Sequence[Seen] = (), **changes: Any) -> Release:
        """One site's release of a round; raises its Refusal."""
        query = self.query(state, seen, **changes)
        return decode_release(self.exchange(name, encode_query(query, state)), query, self.plan)

    def round(
        self, state: PublicState, seen: Sequence[Seen] = (), sites: Sequence[str] = (), **changes: Any
    ) -> list[Seen]:
        """A round put to every site, or to `sites`: what those who answered saw."""
        found = [self.release(name, state, seen, **changes).seen for name in sites or self.sites]
        return [word for word in found if word is not None]


def state_of(plan: Plan, round: int, scale: float = 0.3) -> PublicState:
    """The model before `round`; another `scale` makes another model."""
    return make_state(plan, round, scale)


def code_of(federation: Federation, name: str, content: RecordDict) -> str:
    """What a site answers to `content` under seal: a refusal's code, or the kind of its answer."""
    answer = federation.exchange(name, content)
    try:
        decode_acceptance(answer)
    except Refusal as refusal:
        kind = str(answer.config_records["header"]["kind"])
        return refusal.code.value if kind == "Refused" else kind
    return "Accepted"


def masked_round(federation: Federation, states: Mapping[str, PublicState]) -> RecordDict:
    """Round 1 under `secagg`, each site on the state it is shown: the question to take the masks off."""
    facts: dict[str, Any] = {
        "run_id": federation.plan.run_id,
        "plan_digest": federation.plan.digest(),
        "round": 1,
    }
    names = tuple(sorted(states))

    def all_of(kind: type[Any], content: RecordDict) -> tuple[Any, ...]:
        return tuple(decode(federation.exchange(name, content), kind) for name in names)

    keys = all_of(Keys, encode(Advertise(**facts, attempt="a" * 32)))
    cohort = Cohort(**facts, attempt="a" * 32, keys=keys)
    shared = all_of(Shared, encode(cohort))
    for name, state in states.items():
        query = federation.query(state, cohort=cohort.digest())
        boxes = [box for each in shared for box in each.shares if box.recipient == name]
        answer = federation.exchange(name, for_site(encode_query(query, state), query, boxes))
        decode_release(answer, query, federation.plan)
    confirm = Confirm(**facts, cohort=cohort.digest(), survivors=names)
    return encode(Unmask(**vars(confirm), confirmed=all_of(Confirmed, encode(confirm))))
