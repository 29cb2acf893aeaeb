"""Real releases with the sum before the noise noted on the way: what the sensitivity is a law about."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from client.users import Users
from common.plan import Plan
from common.query import Release
from tests.leaks import Sum, wrap_sum
from tests.small_site import ENGINES, ask, assets_of, crowd, make_gate, make_state, new_ledger


@contextmanager
def recording() -> Iterator[list[Tensor]]:
    """Every clipped sum of any gate, `[dimension]` float64, in the order in which they were made."""
    sums: list[Tensor] = []

    def noting(real: Sum, given: dict[str, Any]) -> Tensor:
        sums.append(real(**given))
        return sums[-1]

    with pytest.MonkeyPatch.context() as patch:
        wrap_sum(patch, noting)
        yield sums


class World:
    """A site whose people are replaced between rounds: its own ledger, the draws of its seed.

    Two worlds of one seed make the same draws for the same people in the same round.
    """

    def __init__(self, path: Path, plan: Plan, seed: int | None = 1, engine: str = ENGINES[0]) -> None:
        self.ledger = new_ledger(path, epsilon=math.inf, delta=0.5)
        self._plan = plan
        self._people = crowd(0)
        self._gate = make_gate(
            self.ledger, lambda: self._people, seed=seed, methods=(plan.method,), engine=engine
        )
        self._gate.accept(plan, assets_of(plan.method, plan.options).arrays())

    def release(self, people: Users, round: int = 1, scale: float = 0.3) -> Release:
        """The site's answer in `round`, as if it had been restarted with `people`."""
        self._people, self._gate._users = people, None
        state = make_state(self._plan, round, scale)
        return self._gate.release(ask(self._plan, state), state)

    def sum(self, people: Users, round: int = 1, scale: float = 0.3) -> Tensor:
        """The clipped sum of a release's one step, `[dimension]` float64."""
        with recording() as sums:
            self.release(people, round, scale)
        (found,) = sums
        return found
