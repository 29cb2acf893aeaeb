"""What a server's monitoring may know: the run's public state, and how its processes and front fare."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from common import supervised
from common.accounting import ACCOUNTANT, epsilon
from common.card import CARD, Card
from common.certificate import valid_until
from common.errors import InputError
from common.event import NEIGHBOURING
from common.monitoring import Measure, Vitals
from common.plan import Plan
from common.storage import read_json
from server.front_count import COUNTS
from server.progress import last_row
from server.server_file import ServerFile
from server.status import STATUS

_OURS: Final = "of the server itself, which no recordings reach"
_SAID: Final = "written in metrics.jsonl, which is published"
_TERMS: Final = ("delta", "unit", "relation", "accountant", "trust")

MEASURES: Final = (
    Measure(
        name="fedmotion_server_process_up",
        help="1 while the process runs.",
        labels=("process",),
        public=_OURS,
    ),
    Measure(
        name="fedmotion_server_process_restarts",
        help="Restarts since the server was started.",
        kind="counter",
        labels=("process",),
        public=_OURS,
    ),
    Measure(
        name="fedmotion_server_run_state",
        help="1 for the state that the run is in.",
        labels=("state",),
        public=_OURS,
    ),
    Measure(name="fedmotion_server_round", help="Rounds that are done.", public=_SAID),
    Measure(name="fedmotion_server_rounds", help="Rounds of the plan.", public="written in the plan"),
    Measure(
        name="fedmotion_server_last_round_timestamp_seconds",
        help="When the last round was done.",
        public=_OURS,
        clock=True,
    ),
    Measure(
        name="fedmotion_server_sites",
        help="Sites: of the plan, enrolled, and those that answered the last round.",
        labels=("which",),
        public="organisations, not people; metrics.jsonl has how many answered",
    ),
    Measure(
        name="fedmotion_server_epsilon",
        help="Epsilon of one unit: spent, left, and of the whole plan.",
        labels=("which", *_TERMS),
        public=_SAID,
    ),
    Measure(
        name="fedmotion_server_front_requests",
        help="Requests that the built-in front answered.",
        kind="counter",
        labels=("status",),
        public="the network saw them",
    ),
    Measure(
        name="fedmotion_server_expiry_timestamp_seconds",
        help="When the card or the front's certificate runs out.",
        labels=("what",),
        public="shown to everybody who connects",
    ),
    Measure(
        name="fedmotion_server_disk_free_bytes",
        help="Free space for checkpoints and logs.",
        public=_OURS,
        clock=True,
    ),
)


def vitals(config: ServerFile, folder: Path, plan: Plan) -> Vitals:
    """One look at the server with the run of `plan` in `folder`."""
    found = supervised.status(config.folder / "run")
    children = () if found is None else found.children
    told = _json(folder / STATUS)
    state = str(told.get("state", "starting"))
    values: dict[str, dict[tuple[str, ...], float]] = {
        "fedmotion_server_process_up": {(child.name,): float(child.state == "running") for child in children},
        "fedmotion_server_process_restarts": {(child.name,): float(child.restarts) for child in children},
        "fedmotion_server_run_state": {("round" if state.startswith("round ") else state,): 1.0},
        "fedmotion_server_round": {(): float(told.get("round", 0))},
        "fedmotion_server_rounds": {(): float(plan.rounds)},
        "fedmotion_server_sites": {
            ("plan",): float(len(plan.roster)),
            ("enrolled",): float(len(told.get("enrolled", ()))),
            ("answered",): float(len(told.get("answered", ()))),
        },
        "fedmotion_server_epsilon": _epsilon(folder, plan),
        "fedmotion_server_front_requests": {
            (status,): float(count) for status, count in _json(config.folder / "run" / COUNTS).items()
        },
        "fedmotion_server_expiry_timestamp_seconds": dict(_expiries(config)),
        "fedmotion_server_disk_free_bytes": {(): float(shutil.disk_usage(config.folder).free)},
    }
    if (last := told.get("last_round")) is not None:
        values["fedmotion_server_last_round_timestamp_seconds"] = {(): float(last)}
    down = tuple(child.name for child in children if child.state != "running")
    waiting = () if state.startswith(("round ", "finished")) else (f"the run: {state}",)
    return Vitals(values=values, down=down or (() if children else ("supervisor",)), waiting=waiting)


def _epsilon(folder: Path, plan: Plan) -> dict[tuple[str, ...], float]:
    row = last_row(folder, plan)
    terms = (f"{plan.delta:.3g}", plan.unit, NEIGHBOURING, ACCOUNTANT, plan.trust)
    costs = {"spent": row["epsilon"], "left": row["epsilon_left"]}
    costs["plan"] = epsilon([plan.reserved()], plan.delta)
    return {(which, *terms): math.inf if cost is None else float(cost) for which, cost in costs.items()}


def _expiries(config: ServerFile) -> Iterator[tuple[tuple[str], float]]:
    """When what sites know the server by runs out, seconds since 1970."""
    with suppress(InputError):
        yield ("card",), float(Card.read(config.folder / CARD, "coordinator").valid_until)
    try:
        yield ("front certificate",), float(valid_until(config.certificate.read_bytes()))
    except (OSError, ValueError):
        return


def _json(path: Path) -> Mapping[str, Any]:
    """What a process of this server wrote; nothing where it has not yet."""
    try:
        return read_json(path)
    except InputError:
        return {}
