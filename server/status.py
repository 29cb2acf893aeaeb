"""Where a run stands, for whoever looks into its folder, and the two files with which it is steered.

`status.json` holds public facts alone: names of the roster, counts of rounds, times of the server.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from common.plan import Plan
from common.storage import write_json

STATUS: Final = "status.json"
PAUSE: Final = "pause"
_POLL = 0.2
_WORK_SECONDS = 1.0


class Status:
    """`status.json` of the run in `folder`; `gone` says whether whoever started the run has ended."""

    def __init__(self, folder: Path, plan: Plan, round: int, gone: Callable[[], bool]) -> None:
        self._folder = folder
        self._gone = gone
        self._written: dict[str, Any] = {}
        self._told = -math.inf
        self._facts: dict[str, Any] = {
            "state": "waiting for sites", "why": None, "run_id": plan.run_id, "trust": plan.trust,
            "round": round, "rounds": plan.rounds, "min_sites": plan.min_sites,
            "roster": [member.site for member in plan.roster], "enrolled": [], "answered": [],
            "deadline": None, "epsilon_spent": 0.0, "delta": plan.delta, "last_round": None,
        }  # fmt: skip

    def know(self, **facts: Any) -> None:
        """What the next that is said contains."""
        self._facts |= facts

    def say(self, state: str, **facts: Any) -> None:
        """Write `state` with all that is known; nothing where nothing has changed."""
        self._facts = {**self._facts, "why": None, "deadline": None, "state": state, **facts}
        if self._facts != self._written:
            self._written = dict(self._facts)
            write_json(self._folder / STATUS, self._facts)

    def work(self, what: str, done: int, steps: int) -> None:
        """Write now and then how far the coordinator's own work on a round is, until something is said."""
        if (now := time.monotonic()) - self._told >= _WORK_SECONDS:
            self._told = now
            self._written = {**self._facts, "work": f"{what} {done:,} / {steps:,}"}
            write_json(self._folder / STATUS, self._written)

    def stopped(self) -> str | None:
        """Why no further round may be asked for, or None; while `pause` lies in the folder it waits here."""
        while True:
            if self._gone():
                return "the process that started the run has ended"
            if not (self._folder / PAUSE).exists():
                return None
            self.say("paused")
            time.sleep(_POLL)
