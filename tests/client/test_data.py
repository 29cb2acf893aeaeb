"""`fedmotion data inspect` and `data convert`, as the person who holds the data uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedmotion
from client.conversion import convert_data
from client.datasets import DataOptions, open_data_set
from client.inspection import KINDS, OTHER, kind
from common.errors import InputError
from common.motion.export import FORMATS
from common.motion.kinematics import project_bones
from common.motion.skeleton import JOINT_NAMES
from server.shell import run
from tests.common.motion.files import (
    sensor_rows,
    walk,
    write_humanml3d,
    write_npz,
    write_sensor_csv,
    write_walk_bvh,
)

HEADER = "time,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three people under odd names; one file is cut off, one holds NaN, one has no row in the manifest."""
    path = tmp_path / "clips"
    path.mkdir()
    rows = ["file,person,label"]
    for number, person in enumerate(("Zoë_Q", "Zoë_Q", "yan")):
        np.save(path / f"secret{number}.npy", walk(number))
        rows.append(f"secret{number},{person},walk")
    broken = walk(0).copy()
    broken[5] = np.nan
    np.save(path / "secret8.npy", broken)
    (path / "secret9.npy").write_bytes((path / "secret0.npy").read_bytes()[:500])
    np.save(path / "secret7.npy", walk(1))
    (path / "manifest.csv").write_text("\n".join([*rows, "secret8,wim,walk", "secret9,wim,walk"]) + "\n")
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(fedmotion.COMMANDS, ["data", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def found(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    _, out, _ = call(capsys, "inspect", *arguments, "--json")
    value: dict[str, Any] = json.loads(out)
    return value


PRIVATE_WORDS = ("Zo", "yan", "wim", "secret")


def test_inspect_counts_without_naming_anybody(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "inspect", folder)
    assert code == 1 and "3 files cannot be used (--files says which and why)" in err
    assert "2 people, 3 motions, 9.2 s, 3 windows of 3 s" in out
    assert "1 more people without a motion that can be used" in out
    assert "labels: walk 3" in out and "rate: 20 fps (3 files)" in out
    assert "left out: person unknown (1)" in out and "left out: numbers missing, infinite" in out
    assert not [word for word in PRIVATE_WORDS if word in out + err]
    code, out, _ = call(capsys, "inspect", folder, "--skip-bad", "--json")
    assert code == 0 and not [word for word in PRIVATE_WORDS if word in out]
    value = json.loads(out)
    assert (value["people"], value["motions"], value["left_out"]) == (2, 3, 3)
    assert value["user_level"] is True and "persons" not in value


def test_control_the_words_of_people_and_files_are_found_where_they_are_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "inspect", folder, "--people", "--files")
    assert code == 1 and [word for word in PRIVATE_WORDS if word in out] == list(PRIVATE_WORDS)
    assert "person Zoë_Q: 2 motions, 6.1 s, 2 windows" in out
    assert "secret8.npy: frame 6 holds NaN" in out and "secret7.npy: manifest.csv has no row for" in out
    value = found(capsys, folder, "--people", "--files")
    assert value["persons"]["wim"]["motions"] == 0
    assert {problem["file"] for problem in value["problems"]} == {"secret7", "secret8", "secret9"}


def test_inspect_says_that_nobody_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_humanml3d(tmp_path / "hml", {"000001": walk(0), "M000001": walk(1)})
    code, out, _ = call(capsys, "inspect", tmp_path / "hml", "--people")
    assert code == 0 and "people unknown, 2 motions" in out and "--unit record" in out
    assert "captions: 4" in out and "000001" not in out
    assert found(capsys, tmp_path / "hml", "--split", "train")["motions"] == 1


def test_a_real_folder_is_inspected_in_one_go(
    sensor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = found(capsys, sensor_folder / "recordings" / "s01", "--sensor-device", "sp")
    assert value["people"] == 1 and value["left_out"] == 0 and value["modality"]["rate"] == 50.0
    assert value["labels"].keys() >= {"WALKING", "TURNING"} and value["files"]["time"] == {"ms": 6}


@pytest.mark.parametrize(
    "reason",
    [
        "a.npy: frame 3 holds NaN, infinity or an absurd value",
        "a.c3d: truncated: 3 of 101 frames are there; export it again",
        "a.bvh: not a readable BVH file (x)",
        "a.npz: 0 frames at 30 fps are no motion; at least 2",
        "a.csv: 1 rows of data are no recording; remove the file",
        "a.bvh: no joint for left_knee among x; map",
        "a.c3d: no marker LTOE of Plug-in Gait among",
        "a.npy: KIT-ML (21 joints",
        "a.npz: says no frame rate (x); give --rate",
        "a.npy: legs of 1 units fit a person in no known length unit",
        "a.csv: a median acceleration of 3 is gravity in none of",
        "m.csv, row of x: label 'y' is not in the declared vocabulary",
        "a_1.npy: manifest.csv has no row for a_1; add one",
        "a.csv: time runs backwards at row 3; sort the rows",
        "a.csv: 3 of 4 runs of ann are under half a window",
        "train.txt: 3 names have no motion, first x",
    ],
)
def test_every_kind_of_problem_has_a_name(reason: str) -> None:
    assert kind(reason) in KINDS
    assert kind("ann ate the tape") == OTHER


@pytest.mark.parametrize("format", FORMATS["skeleton"])
def test_what_is_converted_reads_back_with_its_people_labels_and_captions(
    folder: Path, tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if format not in ("bvh", "npy"):
        pytest.skip(f"{format} is for looking at; its writer's own tests read it")
    code, out, _ = call(capsys, "convert", folder, "--to", format, "--out", tmp_path / "new", "--skip-bad")
    assert code == 0 and "3 motions of 2 people" in out and out.count("not used:") == 3
    old = open_data_set(folder, DataOptions(skip_bad=True))
    new = open_data_set(tmp_path / "new", DataOptions())
    assert new.people() == ("Zoë_Q", "yan") and new.labels == ("walk",)
    pairs = zip(old.recordings(new.people()), new.recordings(new.people()), strict=True)
    for before, after in pairs:
        assert (before.person, before.label) == (after.person, after.label)
        assert np.abs(project_bones(before.samples) - project_bones(after.samples)).max() < 2e-3
    text = (tmp_path / "new" / "manifest.csv").read_text(encoding="utf-8")
    assert text.startswith("file,person,label,source\n") and "yan,walk,secret2\n" in text


def test_unknown_people_stay_unknown_and_a_mirror_stays_with_its_motion(tmp_path: Path) -> None:
    write_humanml3d(tmp_path / "hml", {"000001": walk(0), "M000001": walk(1)})
    convert_data(open_data_set(tmp_path / "hml", DataOptions()), "npy", tmp_path / "new")
    new = open_data_set(tmp_path / "new", DataOptions())
    assert new.unknown_people is not None
    recordings = list(new.recordings(new.people()))
    assert {(r.person, r.record) for r in recordings} == {("000001", "000001")} and len(recordings) == 2
    assert recordings[0].captions == ("a person walks.", "someone strides along")


def test_sensors_are_converted_to_tables_that_need_no_description(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    for person in ("ann", "bob"):
        write_sensor_csv(tmp_path / "raw" / f"{person}_1.csv", HEADER, sensor_rows(acc=1 / 9.80665))
    code, out, _ = call(capsys, "convert", tmp_path / "raw", "--to", "csv", "--out", tmp_path / "new")
    assert code == 0 and "2 motions of 2 people" in out
    old, new = (open_data_set(tmp_path / name, DataOptions()) for name in ("raw", "new"))
    for before, after in zip(old.recordings(("ann",)), new.recordings(("ann",)), strict=True):
        assert before.person == after.person and np.allclose(before.samples, after.samples, atol=2e-3)


def test_amass_becomes_bvh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a" / "01").mkdir(parents=True)
    write_npz(tmp_path / "a" / "01" / "walk_poses.npz")
    code, out, _ = call(capsys, "convert", tmp_path / "a", "--to", "bvh", "--out", tmp_path / "b", "--json")
    assert code == 0 and json.loads(out)["motions"] == 1
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["01_00001.bvh", "manifest.csv"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("convert", "clips", "--to", "csv", "--out", "new", "--skip-bad"),
            "--to csv: skeleton motions are written as",
        ),
        (
            ("convert", "clips", "--to", "npy", "--out", "clips", "--skip-bad"),
            "not an empty folder; choose another --out",
        ),
        (("convert", "clips", "--to", "npy", "--out", "new"), "or pass --skip-bad to leave it out"),
        (("inspect", "nowhere"), "nowhere: does not exist; give a folder"),
        (("inspect", "clips", "--data-format", "bvx"), "--data-format bvx: choose from bvh, humanml3d"),
        (("inspect", "clips", "--sensor-device", "tv"), "--sensor-device tv: choose from sw, sp"),
        (("inspect", "clips", "--labels", "run"), "no file"),
    ],
)
def test_wrong_input_is_one_line_with_the_way_out(
    folder: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder.parent)
    code, _, err = call(capsys, *arguments)
    if message == "no file":  # every file's label is unknown: each is a problem of its own
        assert code == 1 and "6 files cannot be used" in err
        return
    assert code == 2 and message in err and err.count("\n") == 1


@pytest.mark.parametrize("sensors", [None, "watch"])
def test_made_up_people_come_back_through_every_format(
    sensors: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    told = ("--people", 3, "--motions", 2, "--json", *(() if sensors is None else ("--sensors", sensors)))
    code, out, _ = call(capsys, "synthesise", "--out", made, "--format", "csv" if sensors else "bvh", *told)
    assert code == 0 and json.loads(out)["motions"] == 6
    if sensors is None:
        call(capsys, "synthesise", "--out", tmp_path / "h", "--format", "humanml3d", *told)
        assert found(capsys, tmp_path / "h")["people"] == 3
    before = found(capsys, made)
    for format in ("csv",) if sensors else ("humanml3d", "npy", "bvh"):
        new = made.with_name(format)
        code, out, _ = call(capsys, "convert", made, "--to", format, "--out", new)
        after = found(capsys, new)
        same = ("people", "motions", "labels", "captions", "left_out")
        assert code == 0 and [after[key] for key in same] == [before[key] for key in same]
        assert format == "npy" or all("not there" not in str(p) for p in after["problems"])


def test_a_page_is_named_and_half_a_data_set_does_not_stay(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "convert", folder, "--to", "html", "--out", tmp_path / "page", "--skip-bad")
    assert code == 0 and "index.html shows" in out and "named in" not in out
    (folder / "secret7.npy").unlink()
    for there in (False, True):
        if there:
            (tmp_path / "new").mkdir()
        code, _, err = call(capsys, "convert", folder, "--to", "npy", "--out", tmp_path / "new")
        assert code == 2 and "secret8" in err
        assert (tmp_path / "new").exists() is there and not list(tmp_path.glob("new/*"))


def test_nothing_is_written_where_the_data_are_refused(folder: Path, tmp_path: Path) -> None:
    data = open_data_set(folder, DataOptions(skip_bad=True))
    with pytest.raises(InputError):
        convert_data(data, "csv", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bvh_folder_with_a_map_of_its_own_is_inspected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips").mkdir()
    path = write_walk_bvh(tmp_path / "clips" / "ann_1.bvh")
    path.write_text(path.read_text().replace("left_knee", "kneeL"))
    code, _, err = call(capsys, "inspect", tmp_path / "clips")
    assert code == 1 and "1 files cannot be used" in err
    names = [name for name in JOINT_NAMES if name != "left_knee"]
    (tmp_path / "j.toml").write_text("\n".join([*(f'{n} = "{n}"' for n in names), 'left_knee = "kneeL"']))
    code, out, _ = call(capsys, "inspect", tmp_path / "clips", "--joints", tmp_path / "j.toml")
    assert code == 0 and "skeleton: j.toml (1 files)" in out
