"""What `fedmotion server status` says, from the files that the server's processes write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.accounting import ACCOUNTANT, epsilon
from common.errors import InputError
from common.event import NEIGHBOURING
from common.plan import Plan
from common.run_plan import RUN_PLAN, read_run_plan
from common.storage import read_json
from common.supervised import Status, status
from server.conductor import Conducting
from server.preflight import LEAST_FREE, require_certificate
from server.progress import last_row, readable
from server.server_file import ServerFile
from server.status import PAUSE, STATUS
from server.superlink import Flower, FlowerError


def overview(config: ServerFile, folder: Path) -> dict[str, Any]:
    """Processes, run, sites and budget as JSON; every epsilon with all that it stands under."""
    place = config.folder / "run"
    found, conducting = status(place), Conducting.read(place)
    plan = read_run_plan(folder / RUN_PLAN)
    told = None if conducting is None or conducting.run_id != plan.run_id else conducting
    running = found is not None and found.running
    rounds = read_json(folder / STATUS) if (folder / STATUS).exists() else {}
    return {
        "server": "stopped" if found is None else _state(found),
        "processes": [vars(child) for child in found.children] if found is not None else [],
        "run": {
            "id": plan.run_id,
            "plan": plan.digest(),
            "folder": str(folder),
            "state": _run_state(folder, told, rounds, running),
            "attempts": 0 if told is None else told.attempts,
            "words": "" if told is None else told.words,
            **_progress(folder, plan, told, rounds),
        },
        "sites": _sites(config, plan, rounds, running),
        "warnings": list(_warnings(config)),
        "privacy": _privacy(folder, plan),
    }


def _warnings(config: ServerFile) -> Iterator[str]:
    """What keeps the run from going on and people alone can mend, with the way out."""
    try:
        if config.front.kind == "builtin":
            require_certificate(config)
    except InputError as error:
        yield f"sites cannot connect: {error}; then stop and start the server"
    free = shutil.disk_usage(config.folder).free
    if free < LEAST_FREE:
        yield (
            f"{config.folder} has {free >> 20} MiB left: free space, and the run goes on from its checkpoint"
            " by itself"
        )


def _state(found: Status) -> str:
    """A server whose run is over has ended with code 0, which its supervisor calls a final exit."""
    return "finished" if found.state == "failed" and found.code == 0 else found.state


def _run_state(folder: Path, conducting: Conducting | None, rounds: Mapping[str, Any], running: bool) -> str:
    """While the ServerApp runs, what it says of itself."""
    if conducting is not None and conducting.state in ("finished", "stopped"):
        return conducting.state
    if (folder / PAUSE).exists():
        return "paused" if not running or rounds.get("state") == "paused" else "pausing after this round"
    if not running:
        return "waiting for fedmotion server start"
    if conducting is None or conducting.state != "running":
        return "starting" if conducting is None else conducting.state
    return str(rounds.get("state", "starting"))


def _progress(
    folder: Path, plan: Plan, conducting: Conducting | None, rounds: Mapping[str, Any]
) -> dict[str, Any]:
    """`deadline`: of the round that is under way; times in seconds since 1970."""
    done = int(last_row(folder, plan)["round"])
    pace = None if conducting is None else conducting.pace
    return {
        "round": done,
        "rounds": plan.rounds,
        "deadline": rounds.get("deadline"),
        "last_round": rounds.get("last_round"),
        "seconds_left": None if pace is None else pace * (plan.rounds - done),
    }


def _privacy(folder: Path, plan: Plan) -> dict[str, Any]:
    row = last_row(folder, plan)
    return {
        "epsilon_spent": row["epsilon"],
        "epsilon_left": row["epsilon_left"],
        "epsilon_plan": epsilon([plan.reserved()], plan.delta),
        "delta": plan.delta,
        "unit": plan.unit,
        "neighbouring": NEIGHBOURING,
        "accountant": ACCOUNTANT,
        "trust": plan.trust,
        "sites_per_person": plan.sites_per_person,
    }


def _sites(config: ServerFile, plan: Plan, told: Mapping[str, Any], running: bool) -> list[dict[str, Any]]:
    """Each site of the roster, and whether Flower hears from its SuperNode; None where nobody can say."""
    flower = Flower(config.folder)
    online: dict[str, str] | None = None
    if running:
        try:
            online = flower.nodes()
        except FlowerError:
            online = None
    numbers = {site: node for site, (_, node) in flower.admitted().items()}
    return [
        {
            "name": member.site,
            "connected": None if online is None else online.get(numbers.get(member.site, "")) == "online",
            "enrolled": member.site in told.get("enrolled", ()),
            "answered": member.site in told.get("answered", ()),
        }
        for member in plan.roster
    ]


def _left(run: Mapping[str, Any]) -> str:
    seconds = run["seconds_left"]
    return "" if not seconds else f", about {seconds / 60:.0f} min left"


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """`overview` for people."""
    run, privacy = told["run"], told["privacy"]
    yield f"server: {told['server']}"
    for child in told["processes"]:
        number = f" (process {child['pid']})" if child["pid"] else ""
        again = f", restarted {child['restarts']} times" if child["restarts"] else ""
        ended = child["state"] == "failed" and child["exit"] == 0
        yield f"  {child['name']}: {'finished' if ended else child['state']}{number}{again}"
    words = f": {run['words']}" if run["words"] else ""
    yield f"run {run['id']}: {run['state']}{words}, round {run['round']} of {run['rounds']}{_left(run)}"
    for warning in told["warnings"]:
        yield f"  {warning}"
    for site in told["sites"]:
        said = {True: "connected", False: "not connected", None: "not asked: the server is down"}
        facts = [said[site["connected"]], *(word for word in ("enrolled", "answered") if site[word])]
        yield f"  {site['name']}: {', '.join(facts)}"
    yield (
        f"epsilon {readable(privacy['epsilon_spent'])} spent, {readable(privacy['epsilon_left'])} left; delta"
        f" {privacy['delta']:.3g}, unit {privacy['unit']}, {privacy['neighbouring']}, {privacy['accountant']}"
        f", trust {privacy['trust']}, at most {privacy['sites_per_person']} sites a person"
    )
