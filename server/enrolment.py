"""Which node answers for which site of a plan: sites are found, put to the plan, lost and found again."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flwr.app import RecordDict

from common.errors import InputError, Refusal, RefusalCode
from common.query import Acceptance
from common.wire import decode_acceptance, encode_plan
from server.checkpoint import Checkpoint
from server.exchange import Exchange, in_order
from server.status import Status
from server.witnesses import Witnesses

_log = logging.getLogger("fedmotion.server")
_POLL = 0.2
_SOON, _LATEST = 5.0, 600.0  # seconds until a node that did not accept is asked again: doubled each time
_HELLO_SECONDS = 60.0
_SETTLE = 2.0  # seconds in which others may come that are then asked in the same exchange
_PASSING = {RefusalCode.UNAVAILABLE, RefusalCode.NOT_AGREED, RefusalCode.EXPIRED, RefusalCode.FOREIGN}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds to wait until enough sites are there (as many nodes, without a roster), and for one answer."""

    nodes: int
    gather: float
    answer: float


@dataclass(frozen=True)
class _Enrolled:
    node: int
    acceptance: Acceptance


@dataclass(frozen=True)
class _Tried:
    """How often a node did not bring a site, and when it may be asked again."""

    times: int = 0
    again: float = 0.0

    def once_more(self, now: float) -> _Tried:
        return _Tried(self.times + 1, now + min(_LATEST, _SOON * 2**self.times))


class Enrolment:
    """The sites that have accepted the plan of `checkpoint`, by name, and every refusal by its code.

    Under a roster a node is put to the plan under the seal for its site: what it answers is that site's word
    or nothing. Its site is the one under whose key it was `admitted`; where nobody was (in a simulation) it
    is asked for a name. A node that did not accept is asked again
    after a while; one that comes late, or comes back under another number, at the next round. Sites
    whose keys are `revoked` are let go.
    """

    def __init__(
        self,
        exchange: Exchange,
        checkpoint: Checkpoint,
        witnesses: Witnesses,
        patience: Patience,
        revoked: Callable[[], Collection[str]] = tuple,
        admitted: Callable[[], Mapping[int, str]] = dict,
    ) -> None:
        self._exchange = exchange
        self._plan = checkpoint.plan
        self._digest = checkpoint.plan.digest()
        self._content = encode_plan(checkpoint.plan, checkpoint.assets)
        self._witnesses = witnesses
        self._patience = patience
        self._revoked = revoked
        self._admitted = admitted
        self._enrolled: dict[str, _Enrolled] = {}
        self._declined: dict[str, str] = {}
        self._tried: dict[int, _Tried] = {}
        self._arrived: tuple[set[int], float] = (set(), 0.0)
        self.refusals: Counter[RefusalCode] = Counter()

    @property
    def accepted(self) -> list[str]:
        """The sites that have accepted, in the order of names."""
        return sorted(self._enrolled)

    def population(self, site: str) -> int:
        """The declared population of an accepted site."""
        return self._enrolled[site].acceptance.declared_population

    def gather(self, status: Status) -> str | None:
        """Wait until enough sites have accepted and are connected; why there will be no round, or None."""
        until = time.monotonic() + self._patience.gather
        while True:
            if (why := status.stopped()) is not None:
                return why
            self._forget_revoked()
            self.refresh()
            if len(self.present()) >= self._plan.min_sites:
                return None
            if (why := self.hopeless()) is not None:
                return why
            if time.monotonic() > until:
                return self._too_few(f" after {self._patience.gather:g} s")
            status.say("waiting for sites", enrolled=self.accepted)
            time.sleep(_POLL)

    def _forget_revoked(self) -> None:
        keys = set(self._revoked())
        for member in self._plan.roster:
            if member.key in keys:
                self._enrolled.pop(member.site, None)
                self._declined[member.site] = "had its key revoked"

    def present(self) -> list[str]:
        """The accepted sites whose nodes are connected, in the order of names."""
        online = self._exchange.online()
        return [site for site in self.accepted if self._enrolled[site].node in online]

    def ask(
        self,
        sites: Sequence[str],
        question: Callable[[str], RecordDict],
        read: Callable[[str, RecordDict], T],
        *,
        seconds: float,
        group: str,
        ordered: bool = False,
    ) -> Iterator[tuple[str, T]]:
        """What `read` makes of each site's answer, as they arrive or in the order of `sites`.

        Who does not answer in so many seconds, or is refused by `read`, is left out and counted.
        """
        named = {self._enrolled[site].node: site for site in sites}
        answers = self._exchange.answers(
            named, lambda node: question(named[node]), seconds=seconds, group=group
        )
        for node, answer in in_order(named, answers) if ordered else answers:
            site = named[node]
            try:
                found = read(site, answer())
            except Refusal as refusal:
                self._refused(site, refusal, group)
                continue
            yield site, found

    def _refused(self, site: str, refusal: Refusal, group: str) -> None:
        _log.warning("%s, %s: %s", site, group, refusal)
        self.refusals[refusal.code] += 1
        if refusal.code is RefusalCode.BUDGET_EXHAUSTED:
            self._enrolled.pop(site, None)
            self._declined[site] = f"declined with {refusal.code}"
        elif refusal.code is RefusalCode.UNKNOWN_PLAN and self._plan.roster:
            self._tried.pop(self._enrolled.pop(site).node, None)  # its ledger is another: enrol it again

    def refresh(self) -> None:
        """Put the plan to every node that may bring a site which is not there."""
        if not self._plan.roster:
            if not self._tried:
                self._put(dict.fromkeys(self._all_nodes(), ""))
            return
        now, known = time.monotonic(), {entry.node for entry in self._enrolled.values()}
        due = {n for n in self._exchange.online() - known if self._tried.get(n, _Tried()).again <= now}
        if not due or self._others_may_come(due, len(due | known), now):
            return
        self._tried.update({n: self._tried.get(n, _Tried()).once_more(now) for n in due})
        named = self._names(due)
        wanted = {member.site for member in self._plan.roster} - set(self._declined)
        self._put({node: site for node, site in sorted(named.items()) if site in wanted})

    def _names(self, nodes: Collection[int]) -> dict[int, str]:
        """The site of each node, where it is known."""
        if known := self._admitted():
            return {node: known[node] for node in nodes if node in known}
        return self._exchange.hello(nodes, min(_HELLO_SECONDS, self._patience.answer))

    def _others_may_come(self, due: set[int], there: int, now: float) -> bool:
        """Whether to wait with the nodes that are `due`, as no round can begin without others."""
        if due != self._arrived[0]:
            self._arrived = due, now
        settled = now - self._arrived[1] >= min(_SETTLE, self._patience.gather / 4)
        return not settled and there < len(self._plan.roster) and len(self.present()) < self._plan.min_sites

    def _all_nodes(self) -> list[int]:
        """All nodes, once as many are connected as the run expects: without a roster any may be any site."""
        until = time.monotonic() + self._patience.gather
        while len(nodes := sorted(self._exchange.online())) < self._patience.nodes:
            if time.monotonic() > until:
                raise InputError(
                    f"{len(nodes)} of {self._patience.nodes} sites are connected: start the others first"
                )
            time.sleep(_POLL)
        self._tried.update(dict.fromkeys(nodes, _Tried(1)))
        return nodes

    def _put(self, nodes: Mapping[int, str]) -> None:
        """Put the plan to `nodes`, each with the name of the site that it must be (empty: any)."""
        if not nodes:
            return
        answers = self._exchange.answers(
            nodes, lambda _: self._content, seconds=self._patience.answer, kind="query.plan", group="plan"
        )
        for node, answer in in_order(nodes, answers):
            try:
                self._enrol(node, decode_acceptance(answer()), nodes[node])
            except Refusal as refusal:
                _log.warning("node %d %s: %s", node, nodes[node], refusal)
                self.refusals[refusal.code] += 1
                if nodes[node] and refusal.code not in _PASSING:
                    self._declined[nodes[node]] = f"declined with {refusal.code}"
        self._witnesses.save()

    def _enrol(self, node: int, acceptance: Acceptance, expected: str) -> None:
        site, member = acceptance.site, self._plan.member(acceptance.site)
        if acceptance.plan_digest != self._digest or (not self._plan.roster and site in self._enrolled):
            raise Refusal(RefusalCode.MALFORMED, f"{site} accepted another plan or twice")
        if self._plan.roster:
            if member is None or site != expected:
                raise Refusal(RefusalCode.FOREIGN, f"{expected} accepted in the name of {site}")
            if acceptance.declared_population != member.population:
                raise Refusal(RefusalCode.MALFORMED, f"{site} declares another population than its card")
        self._witnesses.enrol(acceptance)
        self._enrolled[site] = _Enrolled(node, acceptance)

    def hopeless(self) -> str | None:
        """Why waiting is of no use: without a roster nobody else can come; with one, too many declined."""
        names = {member.site for member in self._plan.roster}
        if names and len(names - set(self._declined)) >= self._plan.min_sites:
            return None
        return self._too_few("")

    def _too_few(self, when: str) -> str:
        if not self._enrolled and not self._declined:
            return f"no site accepted the plan{when}"
        declined = ", ".join(f"{site} {why}" for site, why in sorted(self._declined.items()))
        return f"{len(self._enrolled)} of at least {self._plan.min_sites} sites are there{when}" + (
            f"; {declined}" if declined else ""
        )
