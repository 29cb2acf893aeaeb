"""Who procedural people are: how well their motions name them, and their table of traits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import InputError
from common.motion.people import BASIC_ACTIONS, ground_truth, traits
from common.motion.population import PRIVATE, PRIVATE_ALL, PUBLIC, synthesise
from common.motion.style import STYLE_NAMES
from tests.reidentification import rank_one

WALKS = replace(PRIVATE, actions=("walk",))
LOW, HIGH = 0.85, 0.95


def test_walks_name_their_walker_about_as_often_as_those_of_real_people() -> None:
    """Calibrated: 85 to 95 % of unseen walks, as reported of real ones (spec 5.6)."""
    assert LOW < rank_one(WALKS, 150, 4, 2) < HIGH


def test_people_who_repeat_themselves_are_named_too_well_for_that_test() -> None:
    assert rank_one(replace(WALKS, clip_jitter=0.5), 60, 4, 2) > HIGH


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_the_calibration_holds_for_more_people_and_is_known_for_all_actions() -> None:
    assert LOW < rank_one(WALKS, 300, 4, 4) < HIGH
    assert 0.5 < rank_one(PRIVATE, 100, 2, 2) < 1.0
    assert 0.4 < rank_one(PRIVATE_ALL, 60, 2, 2) < 1.0


def test_traits_are_the_ground_truth_by_name() -> None:
    indices = [7, 3, 200]
    people, table = ground_truth(PRIVATE, 4, indices), traits(PRIVATE, 4, indices)
    assert table["person"].tolist() == ["p000007", "p000003", "p000200"]
    assert (table["stature"] == people.stature).all() and (table["walk_speed"] == people.walk_speed).all()
    assert set(table["sex"].tolist()) <= {"male", "female"}
    assert set(table["handedness"].tolist()) <= {"left", "right"}
    assert 0.46 < np.float64(table["leg_ratio"].mean()) < 0.52
    assert [name for name in table if name.startswith("style_")] == [f"style_{name}" for name in STYLE_NAMES]
    assert all(len(column) == 3 for column in table.values())


def test_traits_are_seen_in_the_motions() -> None:
    table = traits(WALKS, 9, range(40))
    motion = np.array([r.samples for r in synthesise(WALKS, 9, range(40), 1)], dtype=np.float64)
    thigh = np.linalg.norm(motion[:, 0, 1] - motion[:, 0, 4], axis=-1)
    shank = np.linalg.norm(motion[:, 0, 4] - motion[:, 0, 7], axis=-1)
    stature, ratio = (table[name].astype(np.float64) for name in ("stature", "leg_ratio"))
    np.testing.assert_allclose((thigh + shank) / stature, ratio, atol=1e-5)


def test_each_action_in_turn_or_by_weight() -> None:
    turn = [r.label for r in synthesise(PRIVATE, 1, range(30), 6, 4)]
    assert all(set(turn[6 * k : 6 * k + 6]) == set(BASIC_ACTIONS) for k in range(30))
    weighted = replace(PRIVATE, action_mix=(0.0, 3.0, 0.0, 1.0, 0.0, 0.0))
    found = [r.label for r in synthesise(weighted, 1, range(100), 4, 4)]
    assert set(found) == {"run", "jump"} and 250 < found.count("run") < 350
    first = replace(PRIVATE, action_mix=(0.1, 1.0, 0.0, 0.0, 0.0, 0.0))
    assert {r.label for r in synthesise(first, 1, range(30), 1, 4)} == {"walk"}


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"actions": ()}, "none"),
        ({"actions": ("walk", "fly")}, "fly"),
        ({"action_mix": (0.0,) * 6}, "6 weights"),
        ({"action_mix": (-1.0, 2.0, 1.0, 1.0, 1.0, 1.0)}, "6 weights"),
    ],
)
def test_actions_that_make_no_sense_are_refused(settings: dict[str, tuple[object, ...]], word: str) -> None:
    with pytest.raises(InputError, match=word):
        synthesise(replace(PUBLIC, **settings), 0, [0])  # type: ignore[arg-type]
