from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from client.datasets import DataOptions, open_data_set
from common.errors import InputError

LAYOUT = """
files = "*.csv"
labels = ["rest", "walk"]
target_rate = 50
window = 64
person.column = "who"
label.column = "activity"
time = { column = "t", unit = "ms" }
people = "people.tab"
[channels]
acc_x = { column = "ax", unit = "g" }
gyro_x = { column = "gx", unit = "deg/s", scale = 2.0 }
"""


def rows(who: str, activity: str, count: int = 300, start: int = 0) -> list[str]:
    return [f"{start + 10 * i},{who},{activity},1.0,90.0" for i in range(count)]


def write_csv(path: Path, lines: list[str], header: str = "t,who,activity,ax,gx") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sensors.toml").write_text(LAYOUT)
    (tmp_path / "people.tab").write_text("person,sex\nann,f\nbob,m\n")
    write_csv(tmp_path / "one.csv", rows("ann", "rest") + rows("bob", "walk", start=9000))
    write_csv(tmp_path / "two.csv", rows("ann", "walk", count=80))
    return tmp_path


def test_any_csv_is_read_as_its_description_says(folder: Path) -> None:
    data = open_data_set(folder, DataOptions())
    recordings = list(data.recordings(data.people()))
    assert data.people() == ("ann", "bob") and data.labels == ("rest", "walk")
    assert data.modality.channels == ("acc_x", "gyro_x") and data.modality.rate == 50
    assert [(r.person, r.label, len(r.samples)) for r in recordings] == [
        ("ann", "rest", 150), ("bob", "walk", 150), ("ann", "walk", 64),
    ]  # fmt: skip
    assert np.allclose(recordings[0].samples, [9.80665, np.pi], atol=1e-3)
    assert data.column("sex") == {"ann": "f", "bob": "m"}
    assert open_data_set(folder / "sensors.toml", DataOptions()).people() == data.people()


def test_only_the_rows_of_the_people_asked_for_come_out(folder: Path) -> None:
    assert {r.person for r in open_data_set(folder, DataOptions()).recordings(["bob"])} == {"bob"}


def test_runs_too_short_to_pad_are_counted(folder: Path) -> None:
    write_csv(folder / "two.csv", rows("ann", "walk", count=30))
    data = open_data_set(folder, DataOptions())
    assert len(list(data.recordings(["ann"]))) == 1
    assert len(data.skipped) == 1 and "1 of 1 runs of ann are under half a window (0.64 s)" in data.skipped[0]


def test_names_and_a_rate_can_stand_for_columns(folder: Path) -> None:
    (folder / "sensors.toml").write_text(
        'files = "*.csv"\nrate = 100\nlabels = ["one", "two"]\n'
        "person.pattern = '(?P<person>\\w)'\nlabel.pattern = '(?P<label>\\w+)'\n"
        '[channels]\nacc_x = { column = "ax" }\n'
    )
    data = open_data_set(folder, DataOptions())
    assert data.people() == ("o", "t") and {r.label for r in data.recordings(["t"])} == {"two"}
    assert open_data_set(folder, DataOptions(person_pattern="(?P<person>.{2})")).people() == ("on", "tw")


@pytest.mark.parametrize(
    "lines, header, message",
    [
        (rows("ann", "walk")[:1], "t,who,activity,ax,gx", "1 rows of data are no recording"),
        (rows("ann", "walk"), "t,who,activity,ay,gx", "no column 'ax'; its columns are t, who"),
        (
            ["0,ann,walk,1,1", "10,ann,walk,1,oops", "20,ann,walk,1,1"],
            "t,who,activity,ax,gx",
            "row 3, column 'gx'",
        ),
        (
            ["0,ann,walk,1,1", "10,ann,walk,nan,1", "20,ann,walk,1,1"],
            "t,who,activity,ax,gx",
            "no finite number",
        ),
        (
            ["0,ann,walk,1,1", "10,ann,walk,1", "20,ann,walk,1,1"],
            "t,who,activity,ax,gx",
            "row 3 has not the 5",
        ),
        (
            ["0,ann,walk,1,1", "10,ann,hop,1,1", "20,ann,walk,1,1"],
            "t,who,activity,ax,gx",
            "label 'hop' is not",
        ),
        (
            ["10,ann,walk,1,1", "0,ann,walk,1,1", "20,ann,walk,1,1"],
            "t,who,activity,ax,gx",
            "backwards at row 3",
        ),
    ],
)
def test_a_faulty_table_stops_or_is_listed(folder: Path, lines: list[str], header: str, message: str) -> None:
    write_csv(folder / "two.csv", lines, header)
    with pytest.raises(InputError, match=message) as caught:
        data = open_data_set(folder, DataOptions())
        list(data.recordings(data.people()))
    assert "two.csv" in str(caught.value) and str(caught.value).endswith("or pass --skip-bad to leave it out")
    if "rows of data" in message or "has not the" in message:  # whose rows they are cannot be read
        with pytest.raises(InputError, match="leaves out no file of several people"):
            open_data_set(folder, DataOptions(skip_bad=True))
        return
    data = open_data_set(folder, DataOptions(skip_bad=True))
    assert len(list(data.recordings(data.people()))) == 2
    assert len(data.skipped) == 1 and "two.csv" in data.skipped[0]


def test_one_persons_row_does_not_take_the_others_of_a_file_along(folder: Path) -> None:
    """Left out with --skip-bad, a shared file would tell of one person's row by everybody's absence."""
    write_csv(folder / "two.csv", [*rows("ann", "walk"), "0,bob,walk,nan,1"])
    data = open_data_set(folder, DataOptions(skip_bad=True))
    with pytest.raises(InputError, match="leaves out no file of several people"):
        list(data.recordings(data.people()))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("window = 64", "window = 2", "window: Input should be greater"),
        ('unit = "g"', 'unit = "stone"', "the unit is one of m/s"),
        ("target_rate = 50", "target_rate = nan", "target_rate"),
        ('labels = ["rest", "walk"]', "", "label and labels"),
        ("window = 64", "windows = 64", "windows: Extra inputs"),
        ('person.column = "who"', "person.pattern = 'x'", "person.pattern needs a group"),
        ('files = "*.csv"', 'files = "*.csv', "not a readable TOML"),
        ('time = { column = "t", unit = "ms" }', "", "either rate or time"),
    ],
)
def test_a_faulty_description_names_its_key(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "sensors.toml").write_text(LAYOUT.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        open_data_set(folder, DataOptions())
    assert "sensors.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_truncated_archive_is_named(folder: Path) -> None:
    packed = gzip.compress((folder / "one.csv").read_bytes())
    (folder / "three.csv.gz").write_bytes(packed[: len(packed) // 2])
    (folder / "sensors.toml").write_text(LAYOUT.replace('"*.csv"', '"*.csv*"'))
    with pytest.raises(InputError, match=r"three.csv.gz: not a readable CSV"):
        open_data_set(folder, DataOptions())


@pytest.mark.parametrize("device", ["sw", "sp"])
def test_the_real_watch_and_phone_recordings_work_without_a_description(
    sensor_folder: Path, device: str
) -> None:
    data = open_data_set(sensor_folder, DataOptions(device=device))  # type: ignore[arg-type]
    assert len(data.people()) == 17 and data.column("gender")["s01"] in {"M", "F"}
    assert data.labels == ("SEATED", "SITTING_DOWN", "STANDING_UP", "TURNING", "WALKING")
    recordings = list(data.recordings(data.people()[:2]))
    assert set(Counter(r.label for r in recordings)) == set(data.labels)
    assert all(r.samples.shape[1] == 6 and len(r.samples) >= 64 for r in recordings)
    seated = [np.linalg.norm(r.samples[:, :3], axis=1).mean() for r in recordings if r.label == "SEATED"]
    assert 9.3 < float(np.mean(seated)) < 10.3
