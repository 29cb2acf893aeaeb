"""The commands `client start | status | stop | logs`: for whoever runs a site."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from client import crew
from client.connection import trouble
from client.federation import Outline
from client.privilege import hand_over, prepare_folders, require_apart, require_programs, users_of
from client.remote import standing_of
from client.vitals import MEASURES, vitals
from common import supervised
from common.card import Card
from common.errors import FedmotionError
from common.logs import SITE
from common.monitoring import monitoring
from common.rotating import last_lines
from common.supervised import Status, Watched
from common.supervision import Supervisor

SiteToml = Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site's own file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

SHARED = (
    "data and messenger share a user on this machine, so the coordinator's code could read the data:"
    " start as root with gate_user and messenger_user set"
)


class EndedError(FedmotionError):
    """A site that cannot run: the gate's own line and exit code."""

    def __init__(self, found: Status) -> None:
        words = [child.words for child in found.children if child.state == "failed"]
        super().__init__(f"the site does not run: {_unstamped(words[0]) if words else 'see its logs'}")
        self.exit_code = found.code


def start(
    site: SiteToml,
    detach: Annotated[bool, typer.Option(help="Return once it runs; it goes on in the background.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the site's gate and messenger and keep them running; Ctrl-C or SIGTERM ends both.

    What is wrong with settings, data, ledger or keys is said at once, in one line, and the
    exit code is 2 or 3; a process that crashes is started again, after a growing wait.
    """
    outline = Outline.read(site)
    places = outline.places
    users = users_of(outline)
    prepare_folders(places, users)
    supervised.require_stopped(places.run)
    hand_over(outline, users)
    require_apart(outline, users)
    children = crew.crew(outline, users, require_programs(users))
    if detach:
        again = [sys.executable, "-P", "-m", "fedmotion", "client", "start", str(outline.file)]
        found = supervised.detach(again, places.run, places.logs / "supervisor.log")
        if found.state == "failed":
            raise EndedError(found)
        _tell_status(outline, as_json)
        return
    if not as_json and not users.apart:
        print(f"{outline.name}: {SHARED}", flush=True)
    supervisor = Supervisor(children, places.run, note=_reporter(outline.name, as_json))
    with monitoring(outline.federation.monitoring, MEASURES, lambda: vitals(places)):
        code = supervisor.run()
    if code != 0:
        found_now = supervised.status(places.run)
        assert found_now is not None
        raise EndedError(found_now)


def status(site: SiteToml, as_json: AsJson = False) -> None:
    """What runs, since when, and what it may still spend; exit code 1 where the site does not run."""
    if not _tell_status(Outline.read(site), as_json):
        raise typer.Exit(1)


def stop(site: SiteToml) -> None:
    """End the site; a release under way is finished first. Exit code 1 where it did not run."""
    outline = Outline.read(site)
    if not supervised.stop(outline.places.run):
        print(f"{outline.name} does not run")
        raise typer.Exit(1)
    print(f"{outline.name} stopped")


def logs(
    site: SiteToml,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="How many last lines of each log.")] = 20,
) -> None:
    """The last lines of the site's logs; they stay here, and may tell of people."""
    places, found = Outline.read(site).places, False
    files = [places.logs / f"{name}.log" for name in ("supervisor", crew.GATE, crew.SUPERNODE)]
    for file in (*files, places.words / SITE):
        for line in last_lines(file, lines):
            found = True
            print(f"{file.stem}: {line}")
    if not found:
        print(f"no logs in {places.logs} yet")


def describe(outline: Outline) -> dict[str, Any]:
    """All that `status` knows of a site, for JSON: its processes, and what the gate says of itself."""
    found = supervised.status(outline.places.run)
    running = found is not None and found.running
    return {
        "site": outline.name,
        "running": running,
        "state": "never started" if found is None else found.state,
        "processes": [] if found is None else found.describe()["children"],
        "gate": standing_of(outline.places.socket) if running else None,
        "connection": _trouble(outline, found) if running else None,
    }


def _trouble(outline: Outline, found: Status | None) -> str | None:
    """Why the messenger says that it is not connected, in words; None while it is."""
    messenger = None if found is None else found.child(crew.SUPERNODE)
    if messenger is None or messenger.sign in ("", crew.CONNECTED):
        return None
    return trouble(Card.read(outline.places.coordinator, "coordinator"))


def _tell_status(outline: Outline, as_json: bool) -> bool:
    """Print it; whether the site runs."""
    told = describe(outline)
    if as_json:
        print(json.dumps(told, indent=2, allow_nan=False))
        return bool(told["running"])
    print(f"{outline.name}: {told['state']}")
    for process in told["processes"]:
        print(f"  {_said(Watched(**process))}")
    if told["connection"]:
        print(f"  {told['connection']}")
    for line in _gate_lines(told["gate"]) if told["gate"] else ():
        print(f"  {line}")
    return bool(told["running"])


def _gate_lines(gate: dict[str, Any]) -> list[str]:
    if "coordinator" not in gate:
        return [f"ledger {gate['ledger']}: see fedmotion ledger verify"]
    coordinator, terms = gate["coordinator"], f"{gate['unit']} ({gate['neighbouring']}, {gate['accountant']})"
    lines = [
        f"coordinator {coordinator['name']} at {coordinator['address']}, {coordinator['fingerprint']}",
        f"budget {_cost(gate['budget'])}, reserved {_cost(gate['reserved'])}, left {_cost(gate['left'])}"
        f" for every {terms}; trust {' or '.join(gate['trust'])}",
    ]
    for plan in gate["plans"]:
        lines.append(
            f"run {plan['run_id']}: {plan['rounds_charged']} of {plan['rounds_planned']} rounds answered,"
            f" reserved {_cost(plan['reserved'])} for every {terms}, trust {plan['trust']},"
            f" plan {plan['plan'][:12]}"
        )
    accepted = {plan["plan"] for plan in gate["plans"]}
    lines += [f"plan {digest[:12]}: agreed, not begun" for digest in gate["agreed"] if digest not in accepted]
    return [*lines, gate["warning"]] if gate["warning"] else lines


def _cost(cost: dict[str, float | None]) -> str:
    epsilon = "inf" if cost["epsilon"] is None else f"{cost['epsilon']:.4g}"
    return f"epsilon {epsilon} at delta {cost['delta']:.3g}"


def _said(process: Watched) -> str:
    """One process in one line."""
    parts = [f"{process.name} {process.state} since {_time(process.since)}"]
    if process.state == "running" and process.sign:
        parts.append(f"{process.sign} since {_time(process.sign_since)}")
    if process.restarts:
        parts.append(f"restarted {process.restarts} times, last exit code {process.exit}")
    if process.state in ("waiting", "failed") and process.words:
        parts.append(_unstamped(process.words))
    return ", ".join(parts)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")


def _unstamped(line: str) -> str:
    """A log's line without time and level, or whose it is."""
    for level in (" ERROR ", " WARNING "):
        if level in line[:40]:
            return line.partition(level)[2]
    return line.removeprefix("fedmotion: ")


def _reporter(name: str, as_json: bool) -> Callable[[Status], None]:
    """One line for every process that changes; as JSON the whole state each time."""
    before: dict[str, Watched] = {}

    def report(status: Status) -> None:
        if as_json:
            print(json.dumps(status.describe(), allow_nan=False), flush=True)
            return
        for child in status.children:
            if before.get(child.name) != child:
                before[child.name] = child
                print(f"{_time(time.time())} {name}: {_said(child)}", flush=True)

    return report
