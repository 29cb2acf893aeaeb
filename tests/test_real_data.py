"""Real recordings of people go through the command line, end to end."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedmotion
from client.datasets import DataOptions, open_data_set
from client.site import SiteFile
from server.shell import run
from simulations.config import Simulation
from simulations.partition import held_out

SMALL = """
rounds = 2
public_people = 100
latent = 6
options = { width = 4, replicas = 1, motions = 2 }
"""


def simulate(folder: Path, *arguments: object) -> Path:
    config, out = folder / "small.toml", folder / "run"
    config.write_text(SMALL)
    given = ["simulate", str(config), *map(str, arguments), "--out", str(out)]
    assert run(fedmotion.COMMANDS, given) == 0
    return out


def read(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "run.json").read_text())
    return value


def places(out: Path, data: Path) -> dict[str, str]:
    """Where everybody is, from the site files that the run left."""
    people = open_data_set(data, DataOptions())
    found = {}
    for path in sorted((out / "sites").glob("*.toml")):
        site = SiteFile.read(path)
        units = site.users(people).names
        found.update(dict.fromkeys(units, site.name))
    return found


@pytest.fixture
def clips(motion_folder: Path, tmp_path: Path) -> Path:
    """Two short clips of each person."""
    folder = tmp_path / "clips"
    folder.mkdir()
    files = sorted(motion_folder.glob("*.bvh.gz"))
    for person in sorted({file.name.split("_")[0] for file in files}):
        own = sorted((file for file in files if file.name.startswith(f"{person}_")), key=_size)
        for file in own[:2]:
            shutil.copy(file, folder)
    return folder


def _size(file: Path) -> int:
    return file.stat().st_size


def test_bvh_files_need_no_description_and_nobody_moves_when_one_leaves(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    out = simulate(tmp_path / "all", "--data", clips, "--holdout", "0")
    before = places(out, clips)
    assert set(before) == {file.name.split("_")[0] for file in clips.iterdir()} and len(before) == 6
    told = read(out)
    assert told["labels"] == [] and told["privacy"]["unit"] == "user" and told["record"] == "one motion"
    assert sum(site["declared_population"] for site in told["sites"]) == 6

    gone = sorted(before)[0]
    for file in clips.glob(f"{gone}_*"):
        file.unlink()
    (tmp_path / "rest").mkdir()
    out = simulate(tmp_path / "rest", "--data", clips, "--holdout", "0")
    del before[gone]
    assert places(out, clips) == before
    share = held_out(Simulation(data=clips))
    assert set(share.select(open_data_set(clips, DataOptions()))) <= set(before)


def test_a_manifest_gives_people_labels_and_sites(clips: Path, motion_folder: Path, tmp_path: Path) -> None:
    manifest = motion_folder.parent / "clips.csv"
    with manifest.open(newline="") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file)}
    out = simulate(
        tmp_path, "--data", clips, "--manifest", manifest, "--site-column", "subject",
        "--unit", "record", "--holdout", "0",
    )  # fmt: skip
    told = read(out)
    assert told["labels"] == sorted({row["action_class"] for row in rows.values()})
    assert {site["name"] for site in told["sites"]} == {
        rows[file.name.removesuffix(".bvh.gz")]["subject"] for file in clips.iterdir()
    }
    assert sum(site["declared_population"] for site in told["sites"]) == 12
    assert "record" in told["guarantee"]
    drawn = fedmotion.load(out).sample(2, label=told["labels"][0])
    assert drawn.shape == (2, 60, 22, 3) and np.isfinite(drawn).all()


def test_sensors_need_no_description_where_the_layout_is_known(
    sensor_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sensors"
    (folder / "recordings").mkdir(parents=True)
    shutil.copy(sensor_folder / "subjects_info.csv", folder)
    people = sorted(path for path in (sensor_folder / "recordings").iterdir() if path.is_dir())[:4]
    for person in people:
        for file in sorted(person.glob("*_sw.csv*"))[:2]:
            shutil.copy(file, folder / "recordings")
    out = simulate(tmp_path, "--data", folder, "--site-column", "gender", "--holdout", "0")
    told = read(out)
    assert told["modality"]["kind"] == "sensor" and told["record"] == "one window"
    assert sum(site["declared_population"] for site in told["sites"]) == len(people)
    assert "WALKING" in told["labels"]

    motions = tmp_path / "motions"
    given = ["generate", str(out), "--count", "2", "--label", "WALKING", "--out", str(motions)]
    assert run(fedmotion.COMMANDS, given) == 0
    files = sorted(motions.glob("*.csv"))
    with files[0].open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(files) == 2 and rows[0][0] == "time"
    named = [column.partition(" (")[0] for column in rows[0][1:]]
    assert named == told["modality"]["channels"], "with units after them"
    assert len(rows) == told["modality"]["window"] + 1
    drawn = fedmotion.load(out).sample(2, label="WALKING")
    assert np.allclose(np.array(rows[1:], float)[:, 1:], drawn[0], rtol=1e-4, atol=1e-4)
    capsys.readouterr()
    assert run(fedmotion.COMMANDS, [*given, "--format", "bvh"]) == 2
    assert "csv or npy or html" in capsys.readouterr().err
    assert run(fedmotion.COMMANDS, [*given[:-1], str(tmp_path / "raw"), "--raw"]) == 2
    assert "never post-processed" in capsys.readouterr().err and not (tmp_path / "raw").exists()


def test_any_other_sensors_are_described_in_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "watch"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for person in range(4):
        rows = ["ms,ax,ay,what"]
        for k in range(400):
            x, y = rng.normal(size=2)
            rows.append(f"{k * 20},{x:.3f},{y:.3f},{'sit' if k < 200 else 'walk'}")
        (folder / f"s{person}_a.csv").write_text("\n".join(rows) + "\n")
    (folder / "sensors.toml").write_text(
        'files = "**/*.csv"\nlabels = ["sit", "walk"]\n[person]\npattern = "(?P<person>s[0-9]+)_"\n'
        '[label]\ncolumn = "what"\n[time]\ncolumn = "ms"\nunit = "ms"\n'
        '[channels.acc_x]\ncolumn = "ax"\nunit = "g"\n[channels.acc_y]\ncolumn = "ay"\nunit = "g"\n'
    )
    out = simulate(tmp_path, "--data", folder / "sensors.toml", "--holdout", "0", "--sites", "1")
    told = read(out)
    assert told["labels"] == ["sit", "walk"] and told["modality"]["channels"] == ["acc_x", "acc_y"]
    assert told["sites"][0]["declared_population"] == 4
