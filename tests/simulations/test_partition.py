"""Who is where: every person at one place, and nobody's removal moves another."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest

from client.datasets import Findings
from common.errors import InputError
from common.motion.recording import SKELETON, Modality, Recording
from simulations.config import Simulation
from simulations.partition import deal, held_out, site_name, trained


class Register:
    """People with a ward each; a data set without motions."""

    modality: Modality = SKELETON
    labels: tuple[str, ...] = ()
    origin = "register"
    skipped: list[str] = []  # noqa: RUF012
    findings = Findings()
    unknown_people: str | None = None

    def __init__(self, wards: dict[str, str]) -> None:
        self._wards = wards

    def people(self) -> tuple[str, ...]:
        return tuple(sorted(self._wards))

    def column(self, name: str) -> dict[str, str]:
        return self._wards

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        return iter(())


WARDS = {f"person{k}": ("north", "south wing", "süd", "S#d")[k % 4] for k in range(60)} | {"alone": "attic"}


def places(config: Simulation, data: Register) -> dict[str, str]:
    found = dict.fromkeys(held_out(config).select(data), "held out")
    for site in deal(config, data):
        for person in site.share.select(data):
            assert person not in found, "at two places"
            found[person] = site.name
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"data": "somewhere"},
        {"sites": 5, "seed": 4},
        {"sites": 1, "holdout": 0.0},
        {"site": [{"name": "a", "share": 3}, {"name": "b"}], "holdout": 0.5},
        {"site_column": "ward"},
        {"site_column": "ward", "holdout": 0.0},
    ],
)
def test_everyone_has_one_place_that_nobodys_removal_changes(settings: dict[str, Any]) -> None:
    config = Simulation.model_validate(settings)
    before = places(config, Register(WARDS))
    assert before.keys() == WARDS.keys()
    for person in WARDS:
        rest = {name: ward for name, ward in WARDS.items() if name != person}
        assert places(config, Register(rest)) == {n: place for n, place in before.items() if n != person}


def test_shares_are_proportions_of_the_people() -> None:
    config = Simulation.model_validate({"site": [{"name": "a", "share": 3}, {"name": "b", "share": 1}]})
    data = Register({f"p{k}": "x" for k in range(4000)})
    a, b = deal(config, data)
    assert (a.proportion, b.proportion) == (0.75, 0.25)
    assert abs(len(a.share.select(data)) - 2400) < 150 and abs(len(b.share.select(data)) - 800) < 120
    assert len(trained(config).select(data)) == len(a.share.select(data)) + len(b.share.select(data))


def test_another_seed_deals_anew_and_the_same_seed_does_not() -> None:
    data = Register(WARDS)
    first, again, other = (places(Simulation(sites=4, seed=seed), data) for seed in (1, 1, 2))
    assert first == again != other


def test_a_column_may_be_named_and_given_a_budget() -> None:
    data = Register({f"p{k}": "NS"[k % 2] for k in range(40)})
    tables = [{"name": "north", "value": "N", "budget": 1.5}, {"name": "south", "value": "S"}]
    sites = deal(Simulation.model_validate({"site_column": "ward", "site": tables}), data)
    assert [(site.name, site.share.value, site.budget) for site in sites] == [
        ("north", "N", 1.5),
        ("south", "S", None),
    ]
    with pytest.raises(InputError, match=r"ward 'S' is the value of no \[\[site\]\]"):
        deal(Simulation.model_validate({"site_column": "ward", "site": tables[:1]}), data)


def test_names_of_sites_come_from_their_values_alone() -> None:
    values = ("north", "south wing", "süd", "S#d", "s d", "s-d", "-", "x" * 200, "x" * 201, "../up")
    names = [site_name(value) for value in values]
    assert names[0] == "north" and names[5] == "s-d" and len(set(names)) == len(values)
    assert all(len(name) <= 64 and "/" not in name and not name.startswith((".", "-")) for name in names)
