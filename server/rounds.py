"""The coordinator's loop: put the plan to the sites, then ask, sum, update and checkpoint, round by round."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from common.accounting import ACCOUNTANT, DISPLAY_INTERVAL, epsilon
from common.errors import InputError, Refusal, RefusalCode
from common.event import NEIGHBOURING
from common.noise import Source
from common.plan import Plan
from common.query import Acceptance, Query
from common.signing import load_key, public_name
from common.storage import exclusive, held, read_json, write_json, writing
from common.wire import decode_acceptance, decode_release, encode_plan, encode_query, for_site
from server.aggregate import Sum
from server.checkpoint import KEY, Checkpoint
from server.witnesses import Witnesses

METRICS = "metrics.jsonl"
OUTCOME = "outcome.json"
COORDINATOR = "coordinator.json"
LOCK = ".coordinator.lock"

_log = logging.getLogger("fedmotion.server")
_CHUNK = 64
_POLL = 0.05
_LOCK_PATIENCE = 30.0  # a coordinator that was just stopped needs a moment to end


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the coordinator is told besides the plan: `coordinator.json` in the run folder.

    `leash` names a lock file in the folder: while it is free, whoever started the run is
    gone, and no further round is asked for.
    """

    sites: int
    patience: float
    test_seed: int | None
    leash: str | None

    @classmethod
    def read(cls, folder: Path) -> Settings:
        fields = read_json(folder / COORDINATOR)
        return cls(**{item.name: fields[item.name] for item in dataclasses.fields(cls)})

    def write(self, folder: Path) -> None:
        write_json(folder / COORDINATOR, dataclasses.asdict(self))


def coordinate(grid: Grid, folder: Path) -> None:
    """Run the plan of `folder`'s checkpoint from where it stands to its end.

    Leaves `metrics.jsonl`, the checkpoint and `outcome.json`, which says whether all
    rounds were done and, if not, why.
    """
    with exclusive(folder / LOCK, patience=_LOCK_PATIENCE):
        key = load_key(folder / KEY)
        _coordinate(grid, folder, Settings.read(folder), Checkpoint.load(folder, public_name(key)), key)


def _coordinate(
    grid: Grid, folder: Path, settings: Settings, checkpoint: Checkpoint, key: Ed25519PrivateKey
) -> None:
    forget_rows_after(folder / METRICS, checkpoint.state.round)
    witnesses = Witnesses(folder, key, checkpoint.plan.digest())
    sites, refusals = _enrol(grid, checkpoint, settings, witnesses)
    stopped = None
    if sites:
        rounds = _Rounds(grid, folder, settings, checkpoint, sites, refusals, key, witnesses)
        stopped = rounds.run()
        checkpoint = rounds.checkpoint
    else:
        stopped = "no site accepted the plan"
    if checkpoint.state.round == checkpoint.plan.rounds:
        stopped = None
    write_json(
        folder / OUTCOME,
        {
            "rounds": checkpoint.state.round,
            "stopped": stopped,
            "accepted": [site.site for _, site in sites],
            "refusals": {code.value: count for code, count in sorted(refusals.items())},
        },
    )


class _Rounds:
    def __init__(
        self,
        grid: Grid,
        folder: Path,
        settings: Settings,
        checkpoint: Checkpoint,
        sites: Sequence[tuple[int, Acceptance]],
        refusals: Counter[RefusalCode],
        key: Ed25519PrivateKey,
        witnesses: Witnesses,
    ) -> None:
        self._grid = grid
        self._folder = folder
        self._settings = settings
        self._key = key
        self._witnesses = witnesses
        self._source = Source(settings.test_seed)
        self._method = checkpoint.method()
        self._sites = dict(sites)
        self._refusals = refusals
        self.checkpoint = checkpoint

    def run(self) -> str | None:
        """All rounds that are left; what stopped them, or None."""
        plan = self.checkpoint.plan
        claim = epsilon([plan.reserved()], plan.delta)
        while self.checkpoint.state.round < plan.rounds:
            if self._settings.leash is not None and not held(self._folder / self._settings.leash):
                return "the process that started the run has ended"
            round = self.checkpoint.state.round + 1
            total = self._ask(round)
            if not total.sites:
                return f"no site answered round {round}"
            gradient, loss = plan.split(total.mean(plan, self._source, round))
            state = self._method.update(self.checkpoint.state, gradient)
            self.checkpoint = Checkpoint(plan, self.checkpoint.assets, state)
            row = metrics_row(plan, round, len(total.sites), claim)
            append_row(self._folder / METRICS, row if loss is None else {**row, "loss": loss})
            self.checkpoint.save(self._folder, self._key)
        return None

    def _ask(self, round: int) -> Sum:
        """Put one round to every site that is still in, and add what they release."""
        plan = self.checkpoint.plan
        state = self._method.broadcast(self.checkpoint.state)
        query = Query(run_id=plan.run_id, plan_digest=plan.digest(), round=round, state_digest=state.digest())
        total = Sum(plan.dimension)
        exchange = Exchange(self._grid, "train", self._settings.patience, f"round {round}")
        content = encode_query(query, state)

        def question(node: int) -> RecordDict:
            return for_site(content, replace(query, witness=self._witnesses.of(self._sites[node].site)))

        for node, answer in exchange.answers(list(self._sites), question):
            site = self._sites[node]
            try:
                release = decode_release(answer(), query, plan)
                if release.site != site.site:
                    raise Refusal(RefusalCode.MALFORMED, f"{release.site} answered for {site.site}")
                self._witnesses.see(site.site, release.head)
                total.add(release, site)
            except Refusal as refusal:
                _log.warning("%s, round %d: %s", site.site, round, refusal)
                self._refusals[refusal.code] += 1
                if refusal.code is RefusalCode.BUDGET_EXHAUSTED:
                    del self._sites[node]
        self._witnesses.save()
        return total


@dataclass(frozen=True)
class Exchange:
    """A question to each of many nodes, in chunks, answers in the order of `nodes`."""

    grid: Grid
    message_type: str
    patience: float
    group: str

    def answers(
        self, nodes: Sequence[int], question: Callable[[int], RecordDict]
    ) -> Iterator[tuple[int, Callable[[], RecordDict]]]:
        """For each node a function that returns its answer or raises Refusal(UNAVAILABLE)."""
        for start in range(0, len(nodes), _CHUNK):
            part = nodes[start : start + _CHUNK]
            pushed = {node: self._push(question(node), node) for node in part}
            replies = self._pull({message for message in pushed.values() if message is not None})
            for node in part:
                yield node, _content(replies.get(pushed[node] or ""))

    def _push(self, content: RecordDict, node: int) -> str | None:
        message = Message(content, node, self.message_type, ttl=self.patience, group_id=self.group)
        return next(iter(self.grid.push_messages([message])), None)

    def _pull(self, waiting: set[str]) -> dict[str, Message]:
        """Replies by the message they answer (an error may come from the SuperLink) until `patience` ends."""
        deadline = time.monotonic() + self.patience
        replies: dict[str, Message] = {}
        while waiting:
            for reply in self.grid.pull_messages(waiting):
                replies[reply.metadata.reply_to_message_id] = reply
            waiting = waiting - set(replies)
            if time.monotonic() > deadline:
                break
            if waiting:
                time.sleep(_POLL)
        return replies


def _content(reply: Message | None) -> Callable[[], RecordDict]:
    def answer() -> RecordDict:
        if reply is None or not reply.has_content():
            raise Refusal(RefusalCode.UNAVAILABLE, "no answer")
        return reply.content

    return answer


def _enrol(
    grid: Grid, checkpoint: Checkpoint, settings: Settings, witnesses: Witnesses
) -> tuple[list[tuple[int, Acceptance]], Counter[RefusalCode]]:
    """Put the plan to every node: (node, acceptance) in the order of site names, and refusals by code."""
    plan = checkpoint.plan
    exchange = Exchange(grid, "query.plan", settings.patience, "plan")
    accepted: dict[str, tuple[int, Acceptance]] = {}
    refusals: Counter[RefusalCode] = Counter()
    content = encode_plan(plan, checkpoint.assets)
    for node, answer in exchange.answers(_nodes(grid, settings), lambda _: content):
        try:
            acceptance = decode_acceptance(answer())
            if acceptance.plan_digest != plan.digest() or acceptance.site in accepted:
                raise Refusal(RefusalCode.MALFORMED, f"{acceptance.site} accepted another plan or twice")
            witnesses.enrol(acceptance)
            accepted[acceptance.site] = (node, acceptance)
        except Refusal as refusal:
            _log.warning("node %d: %s", node, refusal)
            refusals[refusal.code] += 1
    witnesses.save()
    return [accepted[name] for name in sorted(accepted)], refusals


def _nodes(grid: Grid, settings: Settings) -> list[int]:
    """All nodes, once as many are connected as the run expects."""
    deadline = time.monotonic() + settings.patience
    while len(nodes := sorted(grid.get_node_ids())) < settings.sites:
        if time.monotonic() > deadline:
            raise InputError(f"{len(nodes)} of {settings.sites} sites are connected: start the others first")
        time.sleep(0.2)
    return nodes


def metrics_row(plan: Plan, round: int, sites: int, claim: float) -> dict[str, Any]:
    """One line of `metrics.jsonl`: public facts alone; an infinite epsilon is null."""
    spent = claim
    if round < plan.rounds:
        spent = min(epsilon([plan.spent(round)], plan.delta, DISPLAY_INTERVAL), claim)
    return {
        "round": round,
        "guarantee": plan.guarantee,
        "sites": sites,
        "epsilon": _finite(spent),
        "epsilon_left": _finite(claim - spent),
        "delta": plan.delta,
        "unit": plan.unit,
        "neighbouring": NEIGHBOURING,
        "accountant": ACCOUNTANT,
        "trust": plan.trust,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one object to a JSON-lines file, on disk when this returns."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def forget_rows_after(path: Path, round: int) -> None:
    """Cut rows that a crash left beyond the checkpoint, half-written ones included."""
    if not path.exists():
        return
    kept = path.read_bytes().split(b"\n")[:round]
    with writing(path), path.open("wb") as file:
        file.writelines(line + b"\n" for line in kept)
