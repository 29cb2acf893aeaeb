"""One real gate in a federation of two whose other site is its keys alone: masked releases."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from client.attempt import Attempt, Masks
from client.gate import LocalGate
from client.ledger import Budget, Ledger
from client.policy import SitePolicy
from client.users import Users
from common.noise import Source
from common.plan import Plan
from common.query import Query, Release
from common.secagg.messages import Advertise, Cohort, Shares
from tests.secagg_round import identity_of, names_of, secagg_plan
from tests.small_site import POPULATION, ask, assets_of, crowd, make_state, speed_of

HERE, THERE = names_of(2)


def lone_plan(**changes: Any) -> Plan:
    return secagg_plan(2, 2, **{"rounds": 400, **changes})


class Lone:
    """A site that may be restarted, whose people are replaced between rounds; draws are those of its seed."""

    def __init__(self, folder: Path, plan: Plan, seed: int | None = 1, engine: str = "auto") -> None:
        self.plan = plan
        self.path = folder / f"{HERE}.sqlite"
        self._seed, self._engine = seed, engine
        self._people = crowd(0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        Ledger.make(self.path, HERE, "user", Budget(epsilon=math.inf, delta=0.5))
        self.gate, self.ledger = self._open()
        self.gate.accept(plan, assets_of(plan.method, plan.options).arrays())

    def restart(self) -> None:
        """Another process: the ledger stays, the memory is gone."""
        self.ledger.close()
        self.gate, self.ledger = self._open()

    def _open(self) -> tuple[LocalGate, Ledger]:
        ledger = Ledger.open(self.path)
        gate = LocalGate(
            ledger=ledger,
            policy=SitePolicy(unit="user", trust=("secagg",), methods=("dp_sgd",)),
            declared_population=POPULATION,
            people=lambda: self._people,
            source=Source(self._seed),
            speed=speed_of(self._engine, 64),
            identity=identity_of(HERE),
        )
        return gate, ledger

    def begin(self, round: int = 1) -> tuple[Query, list[Shares], Cohort]:
        """A new attempt up to its query, and what the other site sealed for this one."""
        asked = Advertise(
            run_id=self.plan.run_id,
            plan_digest=self.plan.digest(),
            round=round,
            attempt=os.urandom(16).hex(),
        )
        other = Attempt(self.plan, THERE, identity_of(THERE), asked)
        cohort = Cohort(**vars(asked), keys=(self.gate.advertise(asked), other.keys))
        self.gate.share(cohort)
        state = make_state(self.plan, round)
        return ask(self.plan, state, cohort=cohort.digest()), list(other.share(cohort).shares), cohort

    def answer(self, query: Query, shares: list[Shares], **changes: Any) -> Release:
        state = make_state(self.plan, query.round, **changes)
        return self.gate.release(query, state, shares)

    def release(self, people: Users) -> Release:
        """The site's answer in a new attempt at round 1, as if it had been restarted with `people`."""
        self._people, self.gate._users = people, None
        return self.answer(*self.begin()[:2])


@contextmanager
def watching() -> Iterator[list[Tensor]]:
    """Every vector that a gate masks, before it does, `[dimension]` int64."""
    seen: list[Tensor] = []
    real: Callable[[Masks, Tensor], Tensor] = Masks.onto

    def noting(self: Masks, total: Tensor) -> Tensor:
        seen.append(total.clone())
        return real(self, total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Masks, "onto", noting)
        yield seen
