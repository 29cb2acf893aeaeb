"""People dealt to simulated sites by a hash of the person, or by a column: nobody's removal moves another."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from client.datasets import DataSet
from client.position import borders
from client.users import Share
from common.errors import InputError
from simulations.config import Simulation, SiteTable

_SITES, _SITES_OF_DATA = 8, 2
"""Sites unless they are given: constants, because a number that followed the people would move them all."""
_NAME_LENGTH = 40


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
    tables = config.site or _equal(_count(config))
    shares = [table.share for table in tables]
    ends = borders(shares, config.holdout, 1.0)
    deals = []
    for table, start, stop in zip(tables, [config.holdout, *ends], ends, strict=False):
        share, proportion = Share(seed=config.seed, start=start, stop=stop), table.share / sum(shares)
        deals.append(Deal(name=table.name, share=share, proportion=proportion, budget=table.budget))
    return deals


def _count(config: Simulation) -> int:
    return config.sites or (_SITES if config.data is None else _SITES_OF_DATA)


def different_sites(config: Simulation) -> dict[str, Any]:
    """What procedural people must know of the sites to differ by them: options of the data set."""
    if config.heterogeneity == 0:
        return {}
    sites = tuple(table.share for table in config.site) or _count(config)
    return {"heterogeneity": config.heterogeneity, "sites": sites, "holdout": config.holdout}


def _equal(sites: int) -> tuple[SiteTable, ...]:
    digits = 3 if sites > 99 else 2
    return tuple(SiteTable(name=f"site-{number + 1:0{digits}d}") for number in range(sites))


def _by_column(config: Simulation, data: DataSet, column: str) -> list[Deal]:
    values = data.column(column)
    people = trained(config).select(data)
    found = sorted({values[person] for person in people})
    tables = {table.value: table for table in config.site}
    if config.site and (missing := [value for value in found if value not in tables]):
        raise InputError(
            f"{column} {missing[0]!r} is the value of no [[site]]: add one, or leave [[site]] out"
        )
    deals = []
    for value in found:
        table = tables.get(value) or SiteTable(name=site_name(value))
        share = Share(seed=config.seed, start=config.holdout, stop=1.0, column=column, value=value)
        proportion = sum(values[person] == value for person in people) / len(people)
        deals.append(Deal(name=table.name, share=share, proportion=proportion, budget=table.budget))
    return deals


def site_name(value: str) -> str:
    """A name for the site of a column's value, from the value alone: no other site's absence renames it."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._")[:_NAME_LENGTH]
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    return value if plain == value else f"{plain or 'site'}-{digest}"
