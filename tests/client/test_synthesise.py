"""`data synthesise`, as a user gives it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.datasets import DataOptions, open_data_set
from client.synthesise import synthesise
from common.errors import InputError
from common.motion.export import csv_header
from common.motion.people import traits
from common.motion.population import PRIVATE
from common.motion.population import synthesise as perform
from common.motion.sensors import SENSOR


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_motions_come_with_a_manifest_and_the_truth_about_their_people(tmp_path: Path) -> None:
    out = tmp_path / "new" / "people"
    synthesise(out=out, people=5, motions=3, seed=4, format="npy")
    made = list(perform(PRIVATE, 4, range(5), 3))
    rows = table(out / "manifest.csv")
    assert [row["file"] for row in rows] == [f"{r.name}.npy" for r in made]
    for row, recording in zip(rows, made, strict=True):
        assert (row["person"], row["label"]) == (recording.person, recording.label)
        assert tuple(row["caption"].split(" | ")) == recording.captions
        np.testing.assert_array_equal(np.load(out / row["file"]), recording.samples)
    known, truth = table(out / "traits.csv"), traits(PRIVATE, 4, range(5))
    assert [row["person"] for row in known] == truth["person"].tolist()
    statures = np.array([float(row["stature"]) for row in known])
    np.testing.assert_allclose(statures, truth["stature"].astype(np.float64), rtol=1e-5)
    assert all(row["site"] == next(r["site"] for r in rows if r["person"] == row["person"]) for row in known)


def test_what_it_writes_is_a_data_set_again(tmp_path: Path) -> None:
    synthesise(out=tmp_path, people=3, motions=2, seed=1, actions="walk, sit")
    data = open_data_set(tmp_path, DataOptions())
    assert data.people() == ("p000000", "p000001", "p000002")
    assert set(data.labels) == {"walk", "sit"}
    assert set(data.column("site").values()) <= {f"site-{number:02d}" for number in range(1, 9)}
    assert len(list(data.recordings(data.people()))) == 6


def test_worn_devices_give_tables_of_samples(tmp_path: Path) -> None:
    synthesise(out=tmp_path, people=3, motions=2, sensors="watch", population="public-all", frames=101)
    rows = table(tmp_path / "manifest.csv")
    assert len(rows) == 6
    for row in rows:
        samples = table(tmp_path / row["file"])
        assert list(samples[0]) == csv_header(SENSOR)
        if row["label"] == "walk":
            assert float(samples[-1]["time"]) == pytest.approx(5.0, abs=0.05)


def test_sites_may_differ_and_nobodys_absence_changes_the_others(tmp_path: Path) -> None:
    for people in (12, 9):
        synthesise(out=tmp_path / str(people), people=people, motions=4, heterogeneity=4.0, format="npy")
    many, few = (table(tmp_path / str(people) / "manifest.csv") for people in (12, 9))
    assert few == many[: len(few)]
    for row in few[::5]:
        one, other = (np.load(tmp_path / folder / row["file"]) for folder in ("12", "9"))
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert table(tmp_path / "9" / "traits.csv") == table(tmp_path / "12" / "traits.csv")[:9]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"population": "martian"}, "--population martian: choose from private, public"),
        ({"actions": "walk,fly"}, "--actions 'fly'"),
        ({"actions": ""}, "--actions ''"),
        ({"sensors": "hat"}, "--sensors hat"),
        ({"format": "xyz"}, "--format xyz: skeleton"),
        ({"format": "bvh", "sensors": "watch"}, "--format bvh: sensor"),
    ],
)
def test_bad_options_are_named_and_nothing_is_made(
    tmp_path: Path, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(InputError, match=word):
        synthesise(out=tmp_path / "out", people=2, **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError, match="not an empty folder"):
            synthesise(out=out, people=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
