from __future__ import annotations

import numpy as np
import pytest

from client.datasets import DataOptions, open_data_set
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
