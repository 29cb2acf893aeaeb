"""What a run over real sites leaves when it ends: `run.json`, samples and report, as a simulation does.

The server knows what the plan costs and what it asked for. What each site charged stands in that site's
ledger.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from common.signing import load_key, public_name
from common.storage import read_json, write_json
from server.budget import small_group
from server.checkpoint import KEY, Checkpoint
from server.description import describe, site_row
from server.generate import RUN
from server.parameters import parameters_of
from server.presentation import present
from server.proposal import ASKED, ORIGIN
from server.rounds import METRICS, OUTCOME

ENGINE: Final = "deployment"


def close(folder: Path) -> dict[str, Any]:
    """Write `run.json`, and what shows it where a round was done.

    The whole plan counts as spent once a site has accepted it: it reserved that much, and refunds nothing.
    """
    public = public_name(load_key(folder / KEY))
    checkpoint, asked = Checkpoint.load(folder, public), read_json(folder / ASKED)
    plan, outcome = checkpoint.plan, read_json(folder / OUTCOME)
    accepted = set(outcome["accepted"])
    events = [plan.reserved()]
    members = [member for member in plan.roster if member.site in accepted]
    people = sum(member.population for member in plan.roster)
    note = small_group(plan, len(plan.roster), people)
    run = {
        **describe(
            checkpoint,
            outcome,
            [site_row(member.site, member.population, events, plan.delta) for member in members],
            events if members else [],
            signer=public,
            data="the sites' own",
            epsilon_target=asked["epsilon"],
            seed=asked["seed"],
            engine=ENGINE,
        ),
        "parameters": vars(parameters_of(folder, people, len(plan.roster))),
        "choice": asked.get("choice"),
        "public": read_json(folder / ORIGIN),
        "notes": [] if note is None else [note],
        "plan": plan.digest(),
        "min_sites": plan.min_sites,
    }
    write_json(folder / RUN, run)
    if (folder / METRICS).exists():
        present(checkpoint, run, "fedmotion server plan CONFIG.toml", folder)
    return run
