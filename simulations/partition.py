"""People dealt to simulated sites by a hash of the person, or by a column: nobody's removal moves another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.datasets import DataSet
from client.users import Share
from common.errors import InputError
from simulations.config import PEOPLE_PER_SITE, SITES, Simulation, SiteTable


@dataclass(frozen=True, kw_only=True)
class Deal:
    """One simulated site: its name, its people, its part of the declared units, and its own budget."""

    name: str
    share: Share
    proportion: float
    budget: float | None


def held_out(config: Simulation) -> Share:
    """The people that no site gets, kept for evaluation."""
    return Share(seed=config.seed, start=0.0, stop=config.holdout)


def trained(config: Simulation) -> Share:
    """All people that some site gets."""
    return Share(seed=config.seed, start=config.holdout, stop=1.0)


def deal(config: Simulation, data: DataSet) -> list[Deal]:
    """The sites of `config`; their shares cover `trained(config)` without overlap."""
    if config.site_column is not None:
        return _by_column(config, data, config.site_column)
    tables: Sequence[SiteTable] = config.site or [
        SiteTable(name=f"site-{number + 1:0{3 if _count(config, data) > 99 else 2}d}")
        for number in range(_count(config, data))
    ]
    if any(table.value is not None for table in tables):
        raise InputError("[[site]] value needs site_column; give shares instead, or remove value")
    total = sum(table.share for table in tables)
    deals, reached = [], 0.0
    for number, table in enumerate(tables):
        proportion = table.share / total
        start = config.holdout + (1 - config.holdout) * reached
        reached += proportion
        last = number == len(tables) - 1
        stop = 1.0 if last else config.holdout + (1 - config.holdout) * reached
        share = Share(seed=config.seed, start=start, stop=stop)
        deals.append(Deal(name=table.name, share=share, proportion=proportion, budget=table.budget))
    return deals


def _count(config: Simulation, data: DataSet) -> int:
    if config.sites is not None:
        return config.sites
    return max(1, min(SITES, len(data.people()) // PEOPLE_PER_SITE))


def _by_column(config: Simulation, data: DataSet, column: str) -> list[Deal]:
    values = data.column(column)
    people = trained(config).select(data)
    names = sorted({values[person] for person in people})
    deals = []
    for number, value in enumerate(names):
        share = Share(seed=config.seed, start=config.holdout, stop=1.0, column=column, value=value)
        proportion = sum(values[person] == value for person in people) / len(people)
        deals.append(Deal(name=f"site-{number + 1:02d}", share=share, proportion=proportion, budget=None))
    return deals
