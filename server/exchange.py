"""Questions to many sites and their answers over Flower's grid, under seal where the plan has a roster.

What is not sealed by the key that the roster has for the site asked, as the answer to exactly
this question, is not believed, a refusal no more than a release.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

from common.errors import Refusal, RefusalCode
from common.parcel import decode_hello, encode_hello, folded, kind_of, unfolded
from common.roster import Member
from common.seal import COORDINATOR, Seal, seal, unseal
from server.traffic import Traffic, size

Answer = Callable[[], RecordDict]
"""Returns what a node said, or raises the Refusal that stands for it."""

_IN_FLIGHT = 256
_HELD = 8
_POLL = 0.5
_EAGER = 0.1
_SHORTEST = 1.0


@dataclass(frozen=True)
class _Asked:
    """A question on its way: to which node, of which site (empty: unknown), under which seal."""

    node: int
    site: str
    seal: Seal | None


@dataclass(frozen=True, eq=False)
class Exchange:
    """The way to the nodes of `grid`; with a `roster`, messages go under the coordinator's `key`.

    `traffic` counts what goes and what comes.
    """

    grid: Grid
    key: Ed25519PrivateKey | None = None
    roster: Sequence[Member] = ()
    traffic: Traffic = field(default_factory=Traffic)
    _members: dict[str, Member] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._members.update({member.site: member for member in self.roster})

    def online(self) -> set[int]:
        """All nodes that are connected now."""
        return set(self.grid.get_node_ids())

    def hello(self, nodes: Iterable[int], seconds: float) -> dict[int, str]:
        """Which site each node says it stands for: to be believed once that site seals an answer."""
        found = {}
        asked = dict.fromkeys(nodes, "")
        answers = self.answers(
            asked, lambda _: encode_hello(), seconds=seconds, kind="query.hello", group="hello"
        )
        for node, answer in answers:
            try:
                found[node] = decode_hello(answer())
            except Refusal:
                continue
        return found

    def answers(
        self,
        nodes: Mapping[int, str],
        question: Callable[[int], RecordDict],
        *,
        seconds: float,
        kind: str = "train",
        group: str,
    ) -> Iterator[tuple[int, Answer]]:
        """Each of `nodes` (with the name of its site) with its answer, as they arrive.

        After so many seconds the nodes that are left have none; whatever they still say is never read.
        """
        began = time.monotonic()
        until = began + seconds
        left, waiting = deque(nodes), dict[str, _Asked]()
        while left or waiting:
            while left and len(waiting) < _IN_FLIGHT:
                node = left.popleft()
                content, mark = self._sealed(question(node), nodes[node])
                self.traffic.down += size(content)
                ttl = max(_SHORTEST, until - time.monotonic())
                message = Message(folded(content), node, kind, ttl=ttl, group_id=group)
                pushed = next(iter(self.grid.push_messages([message])), None)
                if pushed is None:
                    yield node, _nothing
                else:
                    waiting[pushed] = _Asked(node, nodes[node], mark)
            before, last = len(waiting), time.monotonic() > until
            for reply in self._replies(list(waiting), until):
                # An error may come from the SuperLink: the message says whose it is.
                asked = waiting.pop(reply.metadata.reply_to_message_id, None)
                if asked is not None:
                    self.traffic.up += size(reply.content) if reply.has_content() else 0
                    yield asked.node, self._answer(reply, asked)
            if last:
                break
            if waiting and len(waiting) == before:
                # Each look costs the SuperLink 15 ms of CPU: a tenth of the time waited is soon enough.
                time.sleep(min(_POLL, _EAGER * (time.monotonic() - began)))
        for node in [*(asked.node for asked in waiting.values()), *left]:
            yield node, _nothing

    def _replies(self, identifiers: Sequence[str], until: float) -> Iterator[Message]:
        """What is there, a few at a time: the rest waits in the SuperLink's database, not in our memory."""
        for start in range(0, len(identifiers), _HELD):
            yield from self._pulled(set(identifiers[start : start + _HELD]), until)

    def _pulled(self, identifiers: set[str], until: float) -> Iterable[Message]:
        with _announced(until):
            return self.grid.pull_messages(identifiers)

    def _sealed(self, content: RecordDict, site: str) -> tuple[RecordDict, Seal | None]:
        if self.key is None or site not in self._members:
            return content, None
        return seal(content, self.key, COORDINATOR, site)

    def _answer(self, reply: Message, asked: _Asked) -> Answer:
        def answer() -> RecordDict:
            if not reply.has_content():
                raise Refusal(RefusalCode.UNAVAILABLE, "no answer")
            content = unfolded(reply.content)
            if asked.seal is not None:
                _require_sealed(content, self._members[asked.site], asked.seal)
            return content

        return answer


@contextmanager
def _announced(until: float) -> Iterator[None]:
    """Wait until then for what an answer that was announced consists of.

    Flower 1.41 would wait for three minutes, with everybody, where a site ends in the middle of its answer.
    """

    def bounded(object_ids: list[str], pull_object_fn: Callable[[str], bytes]) -> dict[str, bytes]:
        left = max(0.0, until - time.monotonic())
        return pull_objects(
            object_ids, pull_object_fn, max_time=left, initial_backoff=_EAGER, backoff_cap=_POLL
        )

    vars(http_grid)["pull_objects"] = bounded
    try:
        yield
    finally:
        vars(http_grid)["pull_objects"] = pull_objects


def _require_sealed(content: RecordDict, member: Member, question: Seal) -> None:
    """Refusal unless `member` sealed `content` as its answer to `question`.

    A refusal without a seal says that the site's gate was not reached, whatever code it has.
    """
    if member.expired:
        raise Refusal(RefusalCode.EXPIRED, f"the key of {member.site} has expired")
    if "seal" not in content.config_records:
        code = RefusalCode.UNAVAILABLE if kind_of(content) == "Refused" else RefusalCode.FOREIGN
        raise Refusal(code, f"what came from {member.site} has no seal")
    unseal(content, member.key, member.site, COORDINATOR, question.digest())


def _nothing() -> RecordDict:
    raise Refusal(RefusalCode.UNAVAILABLE, "no answer")


def in_order(nodes: Iterable[int], answers: Iterable[tuple[int, Answer]]) -> Iterator[tuple[int, Answer]]:
    """`answers` in the order of `nodes`: a sum in floating point depends on it."""
    held: dict[int, Answer] = {}
    left = deque(nodes)
    for node, answer in answers:
        held[node] = answer
        while left and left[0] in held:
            yield left[0], held.pop(left.popleft())
