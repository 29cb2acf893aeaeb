"""What a site's monitoring may know: public facts alone, with the reason for each.

Made by the supervisor from its own state, the cards and what the gate says of itself. Nothing here is
computed from people: no count of them, no time that computing took, no loss, no withdrawal.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from client.crew import CONNECTED, SUPERNODE
from client.federation import Places
from client.remote import standing_of
from common import supervised
from common.card import Card
from common.certificate import valid_until
from common.errors import InputError
from common.monitoring import Measure, Vitals
from common.supervised import Status

ENOUGH_DISK: Final = 10 * 2**30
"""Free space is told up to here: more says nothing about what lies on the disk."""
_TERMS: Final = ("delta", "unit", "relation", "accountant", "trust")
_PEOPLE_STAY: Final = "the ledger's events follow from accepted plans"

MEASURES: Final = (
    Measure(
        name="fedmotion_site_process_up",
        help="1 while the process runs.",
        labels=("process",),
        public="of the machine",
    ),
    Measure(
        name="fedmotion_site_process_restarts",
        help="Restarts since the site was started.",
        kind="counter",
        labels=("process",),
        public="of the machine; a gate answers UNAVAILABLE rather than end, whatever its people are",
    ),
    Measure(
        name="fedmotion_site_answers",
        help="Messages answered since the gate began.",
        kind="counter",
        labels=("kind",),
        public="the coordinator received them",
    ),
    Measure(
        name="fedmotion_site_refusals",
        help="Messages refused since the gate began.",
        kind="counter",
        labels=("code",),
        public="codes are functions of public facts, and the coordinator received them",
    ),
    Measure(
        name="fedmotion_site_last_answer_timestamp_seconds",
        help="When the gate answered last.",
        public="the coordinator received it then",
        clock=True,
    ),
    Measure(
        name="fedmotion_site_plans_agreed",
        help="Run plans that the steward agreed to.",
        public="the coordinator sees which plans are accepted",
    ),
    Measure(
        name="fedmotion_site_rounds_charged",
        help="Rounds charged to the ledger, by run.",
        labels=("run",),
        public=_PEOPLE_STAY,
    ),
    Measure(
        name="fedmotion_site_epsilon_budget",
        help="Lifetime budget of one unit.",
        labels=_TERMS,
        public="declared in SITE.toml",
    ),
    Measure(
        name="fedmotion_site_epsilon_reserved",
        help="Of it, reserved by accepted plans.",
        labels=_TERMS,
        public=_PEOPLE_STAY,
    ),
    Measure(
        name="fedmotion_site_epsilon_left",
        help="Of it, left.",
        labels=_TERMS,
        public=_PEOPLE_STAY,
    ),
    Measure(
        name="fedmotion_site_expiry_timestamp_seconds",
        help="When a card or certificate runs out.",
        labels=("what",),
        public="written on the card",
    ),
    Measure(
        name="fedmotion_site_disk_free_bytes",
        help="Free space for ledger and logs, told up to 10 GiB.",
        public="what the site writes itself is as long whoever its people are",
        clock=True,
    ),
)


def vitals(places: Places) -> Vitals:
    """One look at the site with these `places`: its supervisor's state, and its gate's word."""
    return look(places, supervised.status(places.run), standing_of(places.socket))


def look(places: Places, found: Status | None, gate: Mapping[str, Any] | None) -> Vitals:
    """The same from what was found: `gate` is None while it does not answer."""
    children = () if found is None else found.children
    values: dict[str, dict[tuple[str, ...], float]] = {
        "fedmotion_site_process_up": {(child.name,): float(child.state == "running") for child in children},
        "fedmotion_site_process_restarts": {(child.name,): float(child.restarts) for child in children},
        "fedmotion_site_expiry_timestamp_seconds": dict(_expiries(places)),
        "fedmotion_site_disk_free_bytes": {
            (): float(min(shutil.disk_usage(places.folder).free, ENOUGH_DISK))
        },
    }
    if gate is not None and "plans" in gate:
        values |= _of_the_gate(gate)
    down = tuple(child.name for child in children if child.state != "running")
    waiting = [] if gate is not None and "plans" in gate else ["the gate's answer"]
    waiting += [child.name for child in children if child.name == SUPERNODE and child.sign != CONNECTED]
    waiting += [f"{what[0]} has run out" for what, until in _expiries(places) if until <= time.time()]
    return Vitals(values=values, down=down or (() if children else ("supervisor",)), waiting=tuple(waiting))


def _of_the_gate(gate: Mapping[str, Any]) -> dict[str, dict[tuple[str, ...], float]]:
    """The gate's own word (`client.standing`, and what it answered) as values."""
    last = gate["last_answer"]
    values: dict[str, dict[tuple[str, ...], float]] = {
        "fedmotion_site_answers": {(kind,): float(count) for kind, count in gate["answered"].items()},
        "fedmotion_site_refusals": {(code,): float(count) for code, count in gate["refused"].items()},
        "fedmotion_site_last_answer_timestamp_seconds": {} if last is None else {(): float(last)},
        "fedmotion_site_rounds_charged": {
            (run["run_id"],): float(run["rounds_charged"]) for run in gate["plans"]
        },
        "fedmotion_site_plans_agreed": {(): float(len(gate["agreed"]))},
    }
    trust = " or ".join(gate["trust"])
    for part in ("budget", "reserved", "left"):
        cost = gate[part]
        terms = (f"{cost['delta']:.3g}", gate["unit"], gate["neighbouring"], gate["accountant"], trust)
        epsilon = math.inf if cost["epsilon"] is None else float(cost["epsilon"])
        values[f"fedmotion_site_epsilon_{part}"] = {terms: epsilon}
    return values


def _expiries(places: Places) -> Iterator[tuple[tuple[str], float]]:
    """When what others know the site and its coordinator by runs out, seconds since 1970."""
    try:
        card = Card.read(places.coordinator, "coordinator")
    except InputError:
        return
    yield ("coordinator's card",), float(card.valid_until)
    if card.authority:
        yield ("coordinator's authority",), float(valid_until(card.authority.encode()))
