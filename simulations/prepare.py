"""From settings to a folder that either engine can run: codec, plan, sites, ledgers, first checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from client.datasets import DataOptions, DataSet, check_unit, open_data_set
from client.datasets.idx_folder import IdxFolder
from client.federation import FederationTable
from client.site import (
    BudgetTable,
    DataTable,
    ShareTable,
    SiteFile,
    SpeedTable,
    resolve_device,
)
from client.users import Users
from common.accounting import epsilon
from common.errors import InputError, way_out
from common.generator.assets import Assets
from common.generator.codecs import PublicMotions
from common.generator.text_encoders import make_text
from common.methods import AUTO, NAMES, build
from common.plan import TEST_RUN, Plan
from common.signing import create_key, load_key, public_name
from common.storage import write_atomically, write_json, writing
from server import planning
from server.checkpoint import FILE, KEY, Checkpoint
from server.planning import Terms
from server.rounds import Settings
from simulations.codec import make_codec, public_origin
from simulations.config import Simulation
from simulations.corpus import Corpus
from simulations.identities import agree_all, federation_of, join_all
from simulations.partition import Deal, deal, different_sites, trained
from simulations.people import Read
from simulations.pretrained import Start, start_from
from simulations.toml import to_toml

DEFAULT_PEOPLE = 2000
_PATIENCE, _DEADLINE = 120.0, 600.0
LOCK = ".simulation.lock"
"""Held by the simulation's process for as long as it lives."""
ORIGIN = "public.json"
"""Where the pre-trained parameters of a run come from."""


def data_options(config: Simulation) -> DataOptions:
    """How the data set of `config` is read, by the simulation and by every site alike."""
    return DataOptions(
        person_pattern=config.person_pattern,
        manifest=config.manifest,
        labels=config.labels,
        device=config.sensor_device,
        skip_bad=config.skip_bad,
        format=config.data_format,
        joints=config.joints,
        split=config.split,
        rate=config.rate,
        people=config.people or DEFAULT_PEOPLE,
        motions=config.motions,
        seed=config.seed,
        window=config.window,
        actions=config.actions,
        **different_sites(config),
    )


def open_people(config: Simulation) -> DataSet:
    """The data set; real files are parsed here, so that a bad one is reported before anything is charged."""
    resolve_device(config.device)
    if config.method != AUTO:
        _require_able(config)
    data = open_data_set(config.data, data_options(config))
    check_unit(data, config.unit)
    people = data.people()
    if len(people) < 2:
        way_out = ", or give --person-pattern if the names say who they are" if config.data else ""
        if data.skipped:
            way_out = f"; {len(data.skipped)} files were left out, see fedmotion data inspect --files"
        raise InputError(
            f"{data.origin}: {len(people)} person in all, and a guarantee for persons needs at least two:"
            f" add people{way_out}"
        )
    if config.data is None:
        return data
    if isinstance(data, IdxFolder):
        data.held_out()  # what the evaluation needs: a bad file is named now, not when all is spent
    return Read(data, list(data.recordings(people)))


def _require_able(config: Simulation) -> None:
    """What is wrong with method and options whatever the data are, said before there are any."""
    if config.method not in NAMES:
        known = sorted((*NAMES, AUTO))
        raise InputError(f"method {config.method!r} is unknown: {way_out(config.method, known)}")
    planning.require_able(
        config.method, config.options, config.shard_size, config.steps_per_round, config.loss_curve
    )


def prepare(config: Simulation, data: DataSet, public: Corpus | None, folder: Path) -> Plan:
    """Make `folder` ready for round 1, or leave it as it is if it is; the first checkpoint comes last.

    A run interrupted in here has had no plan accepted, so nothing was charged and it starts over.
    """
    if (folder / FILE).exists():
        return Checkpoint.load(folder).plan
    deals = deal(config, data)
    if config.sites_per_person > len(deals):
        raise InputError(
            f"sites_per_person is {config.sites_per_person}, and there are {len(deals)} sites:"
            " it must be at most the number of sites"
        )
    units = declared_units(config, data)
    start = start_of(config, data, public)
    config, assets = config.model_copy(update={"options": dict(start.options)}), start.assets
    seed = str(config.seed) if config.test_mode else None
    key = load_key(folder / KEY) if (folder / KEY).exists() else create_key(folder / KEY, seed)
    with writing(folder):
        for part in ("sites", "ledgers", "samples"):
            (folder / part).mkdir(exist_ok=True)
    joined: dict[str, Any] = {"coordinator_key": public_name(key), "min_sites": config.min_sites}
    if config.trust == "secagg":
        populations = {site.name: _population(site, units) for site in deals}
        joined["roster"] = join_all(folder / "sites", populations, key, seed)
        joined["colluders"] = config.colluders
    plan = make_plan(config, assets, units, **joined)
    agree_all(folder / "sites", plan)
    if start.public is not None:
        write_json(folder / ORIGIN, start.public)
    for site in deals:
        _write_site(folder, site, config, plan, units)
    test_seed = config.seed if config.test_mode else None
    Settings(
        sites=len(deals), patience=_PATIENCE, deadline=_DEADLINE, tries=1, test_seed=test_seed, leash=LOCK
    ).write(folder)
    method = build(plan.method, plan.options, assets)
    Checkpoint(plan, assets.arrays(), method.init(config.seed)).save(folder, key)
    return plan


def start_of(config: Simulation, data: DataSet, public: Corpus | None) -> Start:
    """Public assets and options of the method, fitted on public motions or pre-trained."""
    if config.pretrained is not None:
        return start_from(config.pretrained, config, data)
    motions = None
    if public is not None:
        origin = public_origin(config.public, config.seed, config.public_people, config.motions)
        motions = PublicMotions(public.windows, public.labels, data.labels, origin)
    codec = make_codec(config, data.modality, data.labels, motions)
    text = make_text(config.text_encoder, config.text_size, data.labels)
    return Start(config.options, Assets(codec, text=text), None)


def declared_units(config: Simulation, data: DataSet) -> int:
    """The declared number of units in training: a public constant that every mean divides by."""
    if config.people is not None and config.data is not None:
        return max(1, round(config.people * (1 - config.holdout)))
    people = trained(config).select(data)
    if config.data is None:
        return max(1, round(len(data.people()) * (1 - config.holdout)))
    if config.unit == "user":
        return max(1, len(people))
    return max(1, len(Users.gather(data.recordings(people), data, "record")))


def make_plan(config: Simulation, assets: Assets, units: int, **joined: Any) -> Plan:
    """The whole claim of the run, from public facts alone; `joined` are `Terms` of a roster."""
    terms = Terms(
        method=config.method,
        units=units,
        rounds=config.rounds,
        epsilon=config.epsilon,
        delta=config.delta,
        sampling_rate=config.sampling_rate,
        clip_norm=config.clip_norm,
        unit=config.unit,
        trust=config.trust,
        options=config.options,
        steps_per_round=config.steps_per_round,
        sites_per_person=config.sites_per_person,
        loss_curve=config.loss_curve,
        compression=config.compression,
        keep=config.keep or 1.0,
        shard_size=config.shard_size,
        **joined,
    )
    return planning.make_plan(terms, assets, f"{TEST_RUN}{config.seed}" if config.test_mode else None)


def _population(site: Deal, units: int) -> int:
    """The site's declared part of the declared units."""
    return max(1, round(units * site.proportion))


def _write_site(folder: Path, site: Deal, config: Simulation, plan: Plan, units: int) -> None:
    budget = site.budget or config.site_budget or max(config.epsilon, epsilon([plan.reserved()], plan.delta))
    file = SiteFile(
        name=site.name,
        ledger=Path("..") / "ledgers" / f"{site.name}.sqlite",
        unit=config.unit,
        trust=("local", "secagg", "central"),
        methods=(config.method,),
        declared_population=_population(site, units),
        budget=BudgetTable(epsilon=budget, delta=plan.delta),
        data=DataTable(path=config.data and config.data.resolve(), options=data_options(config)),
        share=ShareTable(**vars(site.share)),
        speed=SpeedTable(device=config.device, engine=config.clipping, precision=config.precision),
        federation=FederationTable(folder=federation_of(site.name), pace=0.0) if plan.roster else None,
        test_seed=config.seed if config.test_mode else None,
    )
    path = folder / "sites" / f"{site.name}.toml"
    write_atomically(path, to_toml(file.model_dump(exclude_none=True)).encode())
    site_file = SiteFile.read(path)
    if not site_file.ledger.exists():
        site_file.create_ledger()
