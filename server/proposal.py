"""From CONFIG.toml and the roster to a run plan that sites can agree to, and the folder it will run in."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from common.accounting import ACCOUNTANT, epsilon
from common.errors import InputError
from common.event import NEIGHBOURING
from common.generator.assets import Assets
from common.methods import AUTO, build, usual_of
from common.plan import Plan
from common.pretrained import Pretrained
from common.roster import Member
from common.run_plan import RUN_PLAN, write_run_plan
from common.signing import load_key, public_name
from common.storage import write_json, writing
from server.admission import Roster
from server.budget import small_group
from server.checkpoint import KEY, Checkpoint
from server.parameters import Parameters, parameters_of
from server.planning import Terms, default_delta, make_plan
from server.recommendation import Facts, Recommendation, recommend
from server.rounds import Settings
from server.server_file import RunTable, ServerFile

RUNS: Final = "runs"
ORIGIN: Final = "public.json"
"""Where the pre-trained parameters of a run come from, as in a simulation."""
ASKED: Final = "asked.json"
"""What CONFIG.toml asked for that is not in the plan: the target of epsilon, and the seed."""
LEASH: Final = ".conductor.lock"
"""Held by the process that conducts the run: without it no further round is asked for."""
GATHER_SECONDS: Final = 30 * 86_400.0
"""How long a run waits for enough of its sites before it gives up."""


@dataclass(frozen=True)
class Proposal:
    """A plan in its run folder, as `server plan` leaves it."""

    plan: Plan
    folder: Path
    parameters: Parameters
    choice: Recommendation | None = None

    @property
    def file(self) -> Path:
        """What is sent to the sites."""
        return self.folder / RUN_PLAN


def propose(config: ServerFile) -> Proposal:
    """Write a new run: the plan signed, round 0 signed. InputError where the settings make no valid plan."""
    if not (config.folder / KEY).exists():
        raise InputError(f"{config.folder / KEY} is missing: make it with fedmotion keys init CONFIG.toml")
    key = load_key(config.folder / KEY)
    found, roster = Pretrained.load(config.run.start), Roster(config.folder).members()
    _require_enough(config.run, roster)
    choice = _choice(config.run, found, roster)
    if choice is not None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"method": choice.method})})
    run = config.run
    assets, options = _start(run, found)
    plan = make_plan(_terms(config, options, roster, public_name(key)), assets, _name())
    folder = config.folder / RUNS / plan.run_id
    draft = folder.with_name(f".{plan.run_id}.new")
    with writing(draft):
        draft.mkdir(parents=True)
        (draft / KEY.parent).symlink_to(os.path.relpath(config.folder / KEY.parent, draft))
    try:
        write_json(draft / ORIGIN, vars(found.public))
        asked = {"epsilon": run.epsilon, "seed": run.seed, "start": str(run.start)}
        write_json(draft / ASKED, {**asked, "choice": choice and {"asked": AUTO, **choice.json()}})
        settings(config, plan).write(draft)
        method = build(plan.method, plan.options, assets)
        Checkpoint(plan, assets.arrays(), method.init(run.seed)).save(draft, key)
        write_run_plan(draft / RUN_PLAN, plan, key)
        with writing(folder):
            draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Proposal(plan, folder, parameters_of(folder, _people(roster), len(roster)), choice)


def settings(config: ServerFile, plan: Plan) -> Settings:
    """How the coordinator goes about `plan`: waits for enough sites, and so long for a round."""
    return Settings(
        sites=plan.min_sites,
        patience=GATHER_SECONDS,
        test_seed=None,
        leash=LEASH,
        deadline=config.run.deadline,
    )


def _choice(run: RunTable, found: Pretrained, roster: tuple[Member, ...]) -> Recommendation | None:
    """What is recommended, where CONFIG.toml leaves the method open."""
    if run.method != AUTO:
        return None
    facts = Facts(
        units=_people(roster),
        epsilon=run.epsilon,
        delta=run.delta or default_delta(_people(roster)),
        sites=len(roster),
        trust=run.trust,
        sites_per_person=run.sites_per_person,
        min_sites=run.min_sites,
        colluders=run.colluders,
    )
    return recommend(facts, found.assets, found.design)


def _start(run: RunTable, found: Pretrained) -> tuple[Assets, dict[str, Any]]:
    """Public assets and the method's options, with the design of the pre-trained generator filled in."""
    for name, value in found.design.items():
        if run.options.get(name, value) != value:
            raise InputError(
                f"run.options.{name} is {run.options[name]}, and {run.start} was made with {value}: leave it"
                " out"
            )
    chosen = {name: value for name, value in (("train", run.train), ("rank", run.rank)) if value is not None}
    options: dict[str, Any] = {**found.design, **run.options, **chosen}
    return found.assets_for(run.method, options, run.seed), options


def _require_enough(run: RunTable, roster: tuple[Member, ...]) -> None:
    least = max(run.min_sites or 1, 2 if run.trust == "secagg" else 1)
    if len(roster) < least:
        raise InputError(
            f"the roster has {len(roster)} {'site' if len(roster) == 1 else 'sites'} that may take part, and"
            f" the run needs {least}: accept more (fedmotion join accept), or change run.min_sites or"
            " run.trust"
        )


def _terms(config: ServerFile, options: Mapping[str, Any], roster: tuple[Member, ...], key: str) -> Terms:
    run = config.run
    usual = usual_of(run.method)
    return Terms(
        method=run.method,
        units=_people(roster),
        rounds=usual.needed(run.rounds or usual.rounds),
        epsilon=run.epsilon,
        delta=run.delta,
        sampling_rate=run.sampling_rate or usual.sampling_rate,
        clip_norm=run.clip_norm or usual.clip_norm,
        unit=run.unit,
        trust=run.trust,
        options=options,
        steps_per_round=run.steps_per_round,
        sites_per_person=run.sites_per_person,
        loss_curve=run.loss_curve,
        compression=run.compression,
        keep=run.keep or 1.0,
        roster=roster,
        min_sites=run.min_sites,
        colluders=run.colluders,
        coordinator_key=key,
        code=version("fedmotion"),
        shard_size=run.shard_size,
    )


def _people(roster: tuple[Member, ...]) -> int:
    return sum(member.population for member in roster)


def _name() -> str:
    """A run's name: when it was planned, and enough chance that no two are the same."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def lines(proposal: Proposal) -> Iterator[str]:
    """What a plan asks of each person and each site, in plain words."""
    plan = proposal.plan
    whom = {"user": "person", "record": "recording"}[plan.unit]
    cost = epsilon([plan.reserved()], plan.delta)
    sites = ", ".join(f"{member.site} ({member.population:,})" for member in plan.roster)
    yield f"run {plan.run_id}: {proposal.parameters.line()}"
    if proposal.choice is not None:
        yield f"  method auto: {proposal.choice.why}"
    yield f"  sites: {sites}; a round that fewer than {plan.min_sites} of them answer is void"
    yield (
        f"  of each {whom}: at most epsilon {cost:.4g} at delta {plan.delta:.3g} in all, {NEIGHBOURING},"
        f" {ACCOUNTANT}, trust {plan.trust}, a person at {_sites(plan.sites_per_person)}"
    )
    yield (
        f"  {plan.rounds} rounds; each {whom} enters a round with chance {plan.sampling_rate:g}, moves the"
        f" sum by at most {plan.sensitivity:g}, under noise of {plan.noise_multiplier:.4g} times that"
    )
    yield {
        "local": "  every site adds the full noise itself: it holds against everyone, this server included",
        "secagg": f"  this server sees sums alone; the noise holds while at most {plan.colluders} of the"
        " sites share with it what they know",
    }[plan.trust]
    if (note := small_group(plan, len(plan.roster), _people(plan.roster))) is not None:
        yield f"  note: {note}"
    yield f"plan's hash, to tell the sites on another channel than the file: {plan.digest()}"
    yield f"send each site {proposal.file}; its people agree with fedmotion join agree"


def _sites(bound: int) -> str:
    return "one site alone" if bound == 1 else f"{bound} sites at most"


def planned(config: ServerFile, run_id: str | None) -> Path:
    """The folder of the run `run_id`, by default of the newest; InputError where there is none."""
    runs = config.folder / RUNS
    known = sorted(path.parent.name for path in runs.glob(f"*/{RUN_PLAN}") if path.parent.name[0] != ".")
    if not known:
        raise InputError(f"no run is planned in {runs}: make one with fedmotion server plan CONFIG.toml")
    if run_id is not None and run_id not in known:
        raise InputError(f"there is no run {run_id}: choose from {', '.join(known[-5:])}")
    return runs / (run_id or known[-1])
