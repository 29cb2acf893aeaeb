"""A simulation from settings to report; every step can be interrupted and resumed."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from client.datasets import DataSet
from client.ledger import Ledger
from client.site import SiteFile
from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.event import PrivacyEvent
from common.generator.onlooker import looked_on
from common.generator.shared import SharedGenerator
from common.method import Usual
from common.methods import AUTO
from common.plan import Plan
from common.signing import load_key, public_name
from common.storage import exclusive, read_json, write_atomically, write_json, writing
from server.checkpoint import KEY, Checkpoint
from server.description import describe, site_row
from server.generate import RUN
from server.journal import last_row
from server.parameters import parameters_of
from server.presentation import present
from server.progress import shown
from server.rounds import METRICS, OUTCOME
from simulations.chosen import choice_in, with_method
from simulations.config import Simulation, read_again, read_config
from simulations.corpus import Corpus, corpus
from simulations.engine import LOG, run_flower, run_inprocess
from simulations.evaluation.image_quality import image_quality, image_reference
from simulations.evaluation.quality import Reference, quality, train_on_public
from simulations.notes import notes
from simulations.partition import held_out, trained
from simulations.people import Remembered
from simulations.prepare import LOCK, ORIGIN, open_people, prepare
from simulations.public_corpus import public_corpus
from simulations.repeat import repeat_command
from simulations.stopwatch import seconds, timed

SETTINGS = "simulation.json"
UNUSED = "not_used.txt"
_UNFINISHED = {LOCK, f".{SETTINGS}.new"}  # what a crash or a full disk can leave before there are settings
_SHOWN_UNUSED = 3
_EVALUATING = "evaluating against held-out people (in simulation only)"
_REFERENCE_PEOPLE = 1000


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for: settings with what was said explicitly, and where to."""

    source: str | None
    flags: Mapping[str, Any]
    out: Path
    resume: bool


def simulate(request: Request, console: Console) -> dict[str, Any]:
    """Run or resume; returns `run.json`. Raises InputError on bad input, Refusal where no site takes part."""
    config = _resumed(request) if request.resume else _fresh(request)
    folder = request.out.absolute()
    if "OMP_NUM_THREADS" not in os.environ:  # on a busy machine a second thread costs more than it gives
        torch.set_num_threads(1)
    with exclusive(folder / LOCK):
        try:
            data = _people(config)
            console.print(f"{data.origin}: {len(data.people()):,} {_whom(data)}")
            _tell_unused(data.skipped, folder, console)
            with console.status("fitting the codec on public motions"):
                public = public_corpus(config, data)
                asked, config = config, with_method(config, data, public, folder)
                if config is not asked:
                    _store(config, folder)
                plan = prepare(config, data, public, folder)
        except InputError:
            if not request.resume:
                shutil.rmtree(folder)
            raise
        try:
            return _run(config, plan, data, public, folder, console)
        except Refusal:
            if not request.resume and not read_json(folder / OUTCOME)["accepted"]:
                shutil.rmtree(folder)  # no budget was touched: the next try may use the folder
            raise


def _people(config: Simulation) -> DataSet:
    """The data set; procedural people that the evaluation asks for again are made once."""
    data = open_people(config)
    return Remembered(data, _reference(config, data)) if config.data is None else data


def _whom(data: DataSet) -> str:
    return "images" if data.modality.kind == "image" else "people"


def _reference(config: Simulation, data: DataSet) -> tuple[str, ...]:
    """People in training whom the evaluation looks at."""
    return trained(config).select(data)[:_REFERENCE_PEOPLE]


def _tell_unused(lines: Sequence[str], folder: Path, console: Console) -> None:
    """Say what of the data is not used: a few lines here, all of them in the folder."""
    for line in lines[:_SHOWN_UNUSED]:
        console.print(f"not used: {line}", markup=False, soft_wrap=True)
    if len(lines) > _SHOWN_UNUSED:
        console.print(
            f"not used: {len(lines)} files or parts of files, listed in {folder / UNUSED}", soft_wrap=True
        )
        write_atomically(folder / UNUSED, ("\n".join(lines) + "\n").encode())


def _fresh(request: Request) -> Simulation:
    config = read_config(request.source, request.flags)
    out = request.out
    if out.exists() and (not out.is_dir() or {entry.name for entry in out.iterdir()} - _UNFINISHED):
        raise InputError(f"{out} exists: add --resume to go on with it, or choose another --out")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    _store(config, out)
    return config


def _store(config: Simulation, folder: Path) -> None:
    """The settings to resume with; of a method still to be found, those alone that were said."""
    text = config.model_dump_json(exclude_unset=config.method == AUTO)
    write_json(folder / SETTINGS, json.loads(text))


def _resumed(request: Request) -> Simulation:
    """The stored settings; what is said again must be the same."""
    if not (request.out / SETTINGS).is_file():
        raise InputError(f"nothing to resume in {request.out}: leave --resume out to start there")
    stored = Simulation.model_validate(_infinities(read_json(request.out / SETTINGS)))
    chosen = choice_in(request.out) is not None
    read_again(stored, request.source, request.flags, chosen=chosen)
    return stored


def _infinities(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: an epsilon of null stands for it."""
    return {**fields, "epsilon": math.inf} if fields.get("epsilon", 0.0) is None else fields


def _run(
    config: Simulation,
    plan: Plan,
    data: DataSet,
    public: Corpus | None,
    folder: Path,
    console: Console,
) -> dict[str, Any]:
    sites = [SiteFile.read(path) for path in sorted((folder / "sites").glob("*.toml"))]
    parameters = parameters_of(folder, sum(site.declared_population for site in sites), len(sites))
    choice = choice_in(folder)
    remarks = notes(plan, sites, None if config.pretrained else public)
    remarks = [f"method auto: {choice['why']}", *remarks] if choice else remarks
    for line in (parameters.line(), *remarks):
        console.print(f"note: {line}", style="yellow", markup=False, soft_wrap=True)
    if _finished(folder, plan):
        console.print(f"all {plan.rounds} rounds were done before: only evaluated and shown again")
    else:
        with shown(console, folder, plan), timed(folder):
            if config.engine == "flower":
                run_flower(folder, version("fedmotion"), one_process=plan.trust == "secagg")
            else:
                run_inprocess(folder, data)
        _require_rounds(folder)
    checkpoint = Checkpoint.load(folder)
    with _evaluating(console):
        measured = measure(config, checkpoint, data, public)
    run = {
        **_describe(config, checkpoint, folder, sites),
        "parameters": vars(parameters),
        "training": _training(folder),
        "choice": choice,
        "public": read_json(folder / ORIGIN) if config.pretrained else None,
        "notes": remarks,
        "quality": measured,
    }
    write_json(folder / RUN, run)
    present(checkpoint, run, repeat_command(config), folder)
    return run


@contextmanager
def _evaluating(console: Console) -> Iterator[None]:
    """Show that the body evaluates, and how far a fit in it is."""
    with (
        console.status(_EVALUATING) as status,
        looked_on(lambda what, step, steps: status.update(f"{_EVALUATING}: {what} {step:,} / {steps:,}")),
    ):
        yield


def _training(folder: Path) -> dict[str, Any]:
    """What the training took: seconds in all, bytes to and from one site in a round."""
    row = last_row(folder / METRICS)
    return {"seconds": seconds(folder), **{name: row.get(name) for name in ("bytes_down", "bytes_up")}}


def _finished(folder: Path, plan: Plan) -> bool:
    """Whether the coordinator said that all rounds are done; a crash may come just before it does."""
    return (folder / OUTCOME).exists() and read_json(folder / OUTCOME)["rounds"] == plan.rounds


def _require_rounds(folder: Path) -> None:
    """Raise what stopped a run that has no model to show for it."""
    outcome = read_json(folder / OUTCOME)
    refusals: Mapping[str, int] = outcome["refusals"]
    codes = ", ".join(f"{count} x {code}" for code, count in refusals.items())
    if outcome["rounds"] > 0 or outcome["stopped"] is None:
        return
    if set(refusals) <= {RefusalCode.UNAVAILABLE.value}:
        raise FedmotionError(f"the run stopped: {outcome['stopped']} ({codes}); see {folder / LOG}")
    code = RefusalCode(max(refusals, key=lambda name: refusals[name]))
    way_out = "; raise --site-budget or lower --epsilon" if code is RefusalCode.BUDGET_EXHAUSTED else ""
    raise Refusal(code, f"the run stopped: {outcome['stopped']} ({codes}){way_out}")


def measure(
    config: Simulation, checkpoint: Checkpoint, data: DataSet, public: Corpus | None
) -> dict[str, Any]:
    """`quality` of `run.json`: in simulation only."""
    method = checkpoint.method()
    generator = method.generator(checkpoint.state)
    baseline = None
    if config.pretrained is not None:
        baseline = method.generator(method.init(config.seed))  # as it was before round 1
    elif public is not None and isinstance(method, SharedGenerator):
        baseline = train_on_public(method, public, max(checkpoint.plan.rounds, Usual.rounds))
    if data.modality.kind == "image":
        known, remark = image_reference(config, data)
        return image_quality(generator, baseline, known, data, remark)
    groups = [held_out(config).select(data), _reference(config, data)]
    parts = [corpus(data.recordings(people), data.modality, data.labels) for people in groups]
    reference = Reference(held_out=parts[0], trained=parts[1])
    return quality(generator, baseline, public, reference, data)


def _describe(
    config: Simulation, checkpoint: Checkpoint, folder: Path, files: Sequence[SiteFile]
) -> dict[str, Any]:
    plan = checkpoint.plan
    sites = [_site(file, plan) for file in files]
    exposed = max(sites, key=lambda site: sum(event.count for event in site[1]), default=None)
    return describe(
        checkpoint,
        read_json(folder / OUTCOME),
        [site[0] for site in sites],
        exposed[1] if exposed is not None else [],
        signer=public_name(load_key(folder / KEY)),
        data="procedural" if config.data is None else config.data.name,
        epsilon_target=config.epsilon,
        seed=config.seed,
        engine=config.engine,
    )


def _site(site: SiteFile, plan: Plan) -> tuple[dict[str, Any], list[PrivacyEvent]]:
    """One site's row of `run.json`, from its own ledger; closing it leaves no write-ahead log."""
    with Ledger.read(site.ledger) as ledger:
        events = ledger.events(plan.digest())
    return site_row(site.name, site.declared_population, events, plan.delta), events
