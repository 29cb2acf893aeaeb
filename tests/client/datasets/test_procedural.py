from __future__ import annotations

import numpy as np
import pytest

from client.datasets import DataOptions, open_data_set
from client.datasets.procedural import Procedural
from client.position import position
from common.errors import InputError


def test_procedural_people_are_the_same_however_they_are_asked_for() -> None:
    data = open_data_set(None, DataOptions(people=6, motions=2, seed=5))
    together = {r.name: r.samples for r in data.recordings(data.people())}
    alone = {r.name: r.samples for p in reversed(data.people()) for r in data.recordings([p])}
    assert data.people() == tuple(f"p{index:06d}" for index in range(6))
    assert together.keys() == alone.keys() and len(together) == 12
    assert all(np.array_equal(together[name], alone[name]) for name in together)


def test_procedural_labels_are_declared() -> None:
    data = open_data_set(None, DataOptions(people=20))
    assert {r.label for r in data.recordings(data.people())} <= set(data.labels)
    assert list(data.labels) == sorted(data.labels) and data.skipped == []


def test_procedural_people_have_no_columns_and_are_never_none() -> None:
    with pytest.raises(InputError, match="no manifest"):
        open_data_set(None, DataOptions(people=2)).column("site")
    with pytest.raises(InputError, match="at least one"):
        open_data_set(None, DataOptions(people=0))


def test_people_of_different_sites_do_different_things_wherever_they_are_read() -> None:
    options = DataOptions(
        people=40, motions=4, seed=2, actions="all", heterogeneity=4.0, sites=4, holdout=0.25
    )
    data = open_data_set(None, options)
    together = {r.name: r.samples for r in data.recordings(data.people())}
    names = [r.person for r in data.recordings(data.people())]
    assert names == sorted(names)
    alone = {r.name: r.samples for person in data.people()[::7] for r in data.recordings([person])}
    assert all(np.allclose(together[name], samples, atol=1e-5) for name, samples in alone.items())
    fewer = open_data_set(None, DataOptions(**{**vars(options), "people": 30}))
    assert {r.name for r in fewer.recordings(fewer.people())} <= together.keys(), "nobody moved"


def test_held_out_people_are_of_all_sites_and_each_site_has_its_own() -> None:
    options = DataOptions(people=600, motions=1, heterogeneity=4.0, sites=(3.0, 1.0), holdout=0.5)
    data = Procedural(options)
    out = [data._site(p) for p in data.people() if position(p, 0) < 0.5]
    kept = [data._site(p) for p in data.people() if position(p, 0) >= 0.5]
    for found in (out, kept):
        assert 0.65 < found.count(0) / len(found) < 0.85
    by_share = {p for p in data.people() if 0.5 <= position(p, 0) < 0.5 + 0.5 * 0.75}
    assert {p for p in data.people() if position(p, 0) >= 0.5 and data._site(p) == 0} == by_share
