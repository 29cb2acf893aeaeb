"""The coordinator's loop: gather sites, then ask, sum, update and checkpoint, round by round."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.serverapp import Grid

from common.accounting import epsilon
from common.generator.onlooker import looked_on
from common.noise import Source
from common.plan import Plan
from common.signing import load_key, public_name
from common.storage import exclusive, held, read_json, write_json
from server.aggregate import Sum
from server.checkpoint import KEY, Checkpoint
from server.enrolment import Enrolment, Patience
from server.exchange import Exchange
from server.journal import append_row, forget_rows_after, last_row, metrics_row
from server.question import Question
from server.revocation import revoked
from server.secure_sum import SecureSum, VoidError
from server.status import Status
from server.superlink import Flower
from server.transcript import Transcript
from server.witnesses import Witnesses

METRICS = "metrics.jsonl"
OUTCOME = "outcome.json"
COORDINATOR = "coordinator.json"
LOCK = ".coordinator.lock"

_log = logging.getLogger("fedmotion.server")
_RECESS = 5.0  # between attempts while nobody answers
_LOCK_PATIENCE = 30.0  # a coordinator that was just stopped needs a moment to end


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the coordinator is told besides the plan: `coordinator.json` in the run folder.

    Without a roster the run starts once `sites` nodes are connected; `patience` is how many seconds it
    waits for that, and under a roster for `min_sites` of its sites. A round ends when all have answered,
    or after `deadline` seconds; with too few releases it is void, and asked again up to `tries` times in
    all, of which those that no site answered are none. `leash` names a lock file in the folder: while it is
    free, whoever started the run is gone, and no further round is asked for.
    """

    sites: int
    patience: float
    test_seed: int | None
    leash: str | None
    deadline: float = 600.0
    tries: int = 3

    @classmethod
    def read(cls, folder: Path) -> Settings:
        told = read_json(folder / COORDINATOR)
        return cls(
            **{
                item.name: told[item.name]
                for item in fields(cls)
                if item.name in told or item.default is MISSING
            }
        )

    def write(self, folder: Path) -> None:
        write_json(folder / COORDINATOR, asdict(self))


def coordinate(grid: Grid, folder: Path) -> None:
    """Run the plan of `folder`'s checkpoint from where it stands to its end.

    Leaves `metrics.jsonl`, the checkpoint and `outcome.json`, which says whether all
    rounds were done and, if not, why.
    """
    with exclusive(folder / LOCK, patience=_LOCK_PATIENCE):
        key = load_key(folder / KEY)
        run = _Run(grid, folder, Settings.read(folder), Checkpoint.load(folder, public_name(key)), key)
        run.close(run.rounds())


class _Run:
    def __init__(
        self, grid: Grid, folder: Path, settings: Settings, checkpoint: Checkpoint, key: Ed25519PrivateKey
    ) -> None:
        plan, done = checkpoint.plan, checkpoint.state.round
        forget_rows_after(folder / METRICS, done)
        self._folder = folder
        self._settings = settings
        self._key = key
        self._source = Source(settings.test_seed)
        self._method = checkpoint.method()
        self._transcript = Transcript(folder, plan, done)
        self._witnesses = Witnesses(folder, key, plan.digest())
        self._status = Status(folder, plan, done, self._gone)
        self._status.know(epsilon_spent=last_row(folder / METRICS).get("epsilon", 0.0))
        patience = Patience(nodes=settings.sites, gather=settings.patience, answer=settings.deadline)
        exchange = Exchange(grid, key if plan.roster else None, plan.roster)
        self._traffic, self._crossed = exchange.traffic, dict[str, int]()
        server = (folder / KEY).resolve().parent.parent  # a server's runs share its keys
        self._sites = Enrolment(
            exchange,
            checkpoint,
            self._witnesses,
            patience,
            partial(revoked, server),
            partial(_admitted, server),
        )
        self._charges = 0
        self.checkpoint = checkpoint

    def _gone(self) -> bool:
        leash = self._settings.leash
        return leash is not None and not held(self._folder / leash)

    def rounds(self) -> str | None:
        """All rounds that are left; what stopped them, or None."""
        plan = self.checkpoint.plan
        claim = epsilon([plan.reserved()], plan.delta)
        while (round := self.checkpoint.state.round + 1) <= plan.rounds:
            total = self._complete(round)
            if isinstance(total, str):
                return total
            gradient, loss = plan.split(total.mean(plan, self._source, round))
            with looked_on(self._status.work):
                state = self._method.update(self.checkpoint.state, gradient, total.noise(plan))
            self.checkpoint = Checkpoint(plan, self.checkpoint.assets, state)
            self._charges = max(self._charges, total.charges)
            row = metrics_row(plan, round, len(total.sites), claim, self._charges) | self._crossed
            self._transcript.close_round(round, tuple(sorted(total.seen, key=lambda seen: seen.site)))
            append_row(self._folder / METRICS, row if loss is None else {**row, "loss": loss})
            self.checkpoint.save(self._folder, self._key)
            self._status.know(
                round=round,
                answered=sorted(total.sites),
                epsilon_spent=row["epsilon"],
                last_round=time.time(),
            )
        self._status.say("finished", enrolled=self._sites.accepted)
        return None

    def _complete(self, round: int) -> Sum | str:
        """The sum of one round; or why there is none, after so many tries with too few releases.

        While there is time for another within `patience`, an attempt to which no site released anything is
        no try: a network is down, and will be up again.
        """
        why, tries = "", 0
        until = time.monotonic() + self._settings.patience - self._settings.deadline
        while tries < self._settings.tries:
            if (stopped := self._sites.gather(self._status)) is not None:
                return f"{stopped}; {why}" if why else stopped
            deadline = time.time() + self._settings.deadline
            said = {"enrolled": self._sites.accepted, "deadline": deadline, "why": why or None}
            self._status.say(f"round {round}", **said)
            before, sites = replace(self._traffic), self._sites.present()
            try:
                total = self._ask(round, sites)
                self._crossed = self._traffic.since(before, len(sites))
                return total
            except VoidError as void:
                why, waits = str(void), void.silent and time.monotonic() < until
                _log.warning("round %d is void: %s", round, why)
                tries += not waits
                time.sleep(_RECESS if waits else 0)
            finally:
                self._witnesses.save()
        hopeless = self._sites.hopeless() if self.checkpoint.plan.roster else None
        return f"{hopeless}; {why}" if hopeless else why

    def _ask(self, round: int, sites: Sequence[str]) -> Sum:
        """Put one round to `sites`, and add what they release; raises VoidError."""
        plan = self.checkpoint.plan
        state = self._method.broadcast(self.checkpoint.state)
        kept, deadline = (self._witnesses, self._transcript), self._settings.deadline
        if plan.trust == "secagg":
            return SecureSum(plan, state, self._sites, *kept, deadline).attempt(sites)
        total, question = Sum(plan.dimension), Question(plan, state, *kept)
        for site, release in self._sites.ask(
            sites, question.to, question.read, seconds=deadline, group=f"round {round}",
            ordered=not Sum.is_exact(plan),
        ):  # fmt: skip
            total.add(release, self._sites.population(site))
        _require_enough(total, plan, round)
        return total

    def close(self, stopped: str | None) -> None:
        """Leave word of how it ended."""
        checkpoint, refusals = self.checkpoint, self._sites.refusals
        if stopped is not None:
            self._status.say("stopped", enrolled=self._sites.accepted, why=stopped)
        write_json(
            self._folder / OUTCOME,
            {
                "rounds": checkpoint.state.round,
                "stopped": stopped,
                "accepted": self._sites.accepted,
                "refusals": {code.value: count for code, count in sorted(refusals.items())},
            },
        )


def _admitted(server: Path) -> dict[int, str]:
    """The site of each node that was let in under its key, by Flower's number of the node."""
    return {int(node): site for site, (_, node) in Flower(server).admitted().items()}


def _require_enough(total: Sum, plan: Plan, round: int) -> None:
    """VoidError where fewer sites released than the plan asks for."""
    if not total.sites:
        raise VoidError(f"no site answered round {round}", silent=True)
    if len(total.sites) < plan.min_sites:
        raise VoidError(
            f"round {round} had {len(total.sites)} releases, and the plan asks for {plan.min_sites}"
        )
