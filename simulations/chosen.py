"""The method of a simulation that was started with `auto`: settled once, before there is a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from client.datasets import DataSet
from common.methods import AUTO, DEFAULT
from common.storage import read_json, write_json
from server.planning import default_delta
from server.recommendation import Facts, recommend
from simulations.config import Simulation
from simulations.corpus import Corpus
from simulations.partition import deal
from simulations.prepare import declared_units, start_of

FILE: Final = "choice.json"


def with_method(config: Simulation, data: DataSet, public: Corpus | None, folder: Path) -> Simulation:
    """`config` with the name of a method; where it was `auto`, `folder` says which from now on, and why."""
    if config.method != AUTO:
        return config
    start = start_of(config.model_copy(update={"method": DEFAULT}), data, public)
    found = recommend(_facts(config, data), start.assets, start.options)
    write_json(folder / FILE, {"asked": AUTO, **found.json()})
    said = config.model_dump(exclude_unset=True)
    return Simulation.model_validate({**said, "method": found.method})


def choice_in(folder: Path) -> dict[str, Any] | None:
    """What was considered, and why; None where the method was named."""
    return read_json(folder / FILE) if (folder / FILE).is_file() else None


def _facts(config: Simulation, data: DataSet) -> Facts:
    units = declared_units(config, data)
    return Facts(
        units=units,
        epsilon=config.epsilon,
        delta=config.delta or default_delta(units),
        sites=len(deal(config, data)),
        trust=config.trust,
        sites_per_person=config.sites_per_person,
        min_sites=config.min_sites,
        colluders=config.colluders,
    )
