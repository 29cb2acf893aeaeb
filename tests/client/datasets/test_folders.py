"""AMASS, array and C3D folders, sensor tables that nobody describes, and folders with several formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from client.datasets import DataOptions, open_data_set
from common.errors import InputError
from common.motion.sensor_units import DETECT, unit_factors
from common.motion.sensors import CHANNELS
from common.motion.skeleton import JOINT_NAMES
from tests.common.motion.files import (
    markers_of,
    sensor_rows,
    walk,
    write_c3d,
    write_humanml3d,
    write_npz,
    write_sensor_csv,
    write_walk_bvh,
    z_up,
)

HEADER = "time,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"


def test_amass_has_a_folder_for_each_person_and_files_of_shapes(tmp_path: Path) -> None:
    for place in ("CMU/01", "CMU/02", "KIT/01"):
        (tmp_path / place).mkdir(parents=True)
        write_npz(tmp_path / place / "walk_1_poses.npz")
        np.savez(tmp_path / place / "shape.npz", betas=np.zeros(16))
    data = open_data_set(tmp_path, DataOptions())
    assert data.people() == ("CMU/01", "CMU/02", "KIT/01")
    assert [r.name for r in data.recordings(["KIT/01"])] == ["KIT/01/walk_1_poses"]
    assert data.skipped == ["3 files of body shapes (shape.npz, _stagei.npz) are no motions"]
    assert open_data_set(tmp_path, DataOptions(person_pattern=r"^(?P<person>\w+)/")).people() == (
        "CMU",
        "KIT",
    )
    flat = tmp_path / "CMU" / "01"
    assert open_data_set(flat, DataOptions()).people() == ("01",)


def test_amass_without_a_rate_takes_the_one_that_is_stated(tmp_path: Path) -> None:
    write_npz(tmp_path / "ann_1.npz", frames=240, mocap_framerate=None)
    with pytest.raises(InputError, match=r"says no frame rate .*; give --rate"):
        list(open_data_set(tmp_path, DataOptions()).recordings([tmp_path.name]))
    data = open_data_set(tmp_path, DataOptions(rate=120.0))
    assert [len(r.samples) for r in data.recordings(data.people())] == [40]


def test_arrays_have_a_manifest_with_captions_and_records(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", walk(0))
    (tmp_path / "manifest.csv").write_text(
        "file,person,label,caption,record\na.npy,ann,walk,one walks| somebody  walks,r1\nb,ann,walk,,r1\n"
    )
    data = open_data_set(tmp_path, DataOptions())
    first, second = data.recordings(["ann"])
    assert first.captions == ("one walks", "somebody walks") and second.captions == ()
    assert (first.label, first.record, second.record) == ("walk", "r1", "r1")


def test_a_manifest_that_names_nobody_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "a_1.npy", walk(0))
    (tmp_path / "manifest.csv").write_text("file,person\na_1.npy,\n")
    data = open_data_set(tmp_path, DataOptions())
    assert data.unknown_people is not None and "fill in column 'person'" in data.unknown_people
    assert open_data_set(tmp_path, DataOptions(person_pattern="(?P<person>a)")).unknown_people is None


def test_c3d_folders_read_markers_and_a_map_in_the_folder(tmp_path: Path) -> None:
    write_c3d(tmp_path / "ann_1.c3d", {k: z_up(v) for k, v in markers_of(walk(0)).items()}, rate=20.0)
    data = open_data_set(tmp_path, DataOptions())
    assert data.people() == ("ann",) and len(list(data.recordings(["ann"]))) == 1
    assert data.findings.facts["skeleton"] == {"Plug-in Gait": 1}
    lines = [f'{name} = "LASI"' for name in JOINT_NAMES]
    (tmp_path / "joints.toml").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"known length unit|no person's in mm"):  # all joints at one place
        list(open_data_set(tmp_path, DataOptions()).recordings(["ann"]))


def test_several_formats_in_a_folder_are_not_guessed_between(tmp_path: Path) -> None:
    write_walk_bvh(tmp_path / "ann_1.bvh")
    write_npz(tmp_path / "bob_1.npz")
    with pytest.raises(InputError, match=r"holds bvh and amass; say which .*--data-format bvh"):
        open_data_set(tmp_path, DataOptions())
    assert open_data_set(tmp_path, DataOptions(format="amass")).people() == (tmp_path.name,)
    write_humanml3d(tmp_path / "hml", {"000001": walk(0)})
    assert open_data_set(tmp_path / "hml", DataOptions()).origin == "HumanML3D folder hml"
    with pytest.raises(InputError, match="no motion file"):
        open_data_set(tmp_path / "hml" / "texts", DataOptions())


def test_a_part_of_humanml3d_is_not_taken_for_a_folder_of_people(tmp_path: Path) -> None:
    """Each motion would count as a person of its own, and its mirror as another."""
    write_humanml3d(tmp_path / "deep" / "hml", {"000001": walk(0), "M000001": walk(1)})
    for path in (tmp_path / "deep", tmp_path / "deep" / "hml" / "new_joints"):
        with pytest.raises(InputError, match=r"new_joints is a part of a HumanML3D folder: give .*hml"):
            open_data_set(path, DataOptions())
    assert len(open_data_set(tmp_path / "deep", DataOptions(format="npy")).people()) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        (DataOptions(split="train"), "--split is for humanml3d, and this is bvh"),
        (DataOptions(rate=20.0), "--rate is for npy, amass, humanml3d, sensors, and this is bvh"),
        (DataOptions(rate=-1.0), "rate -1: frames or samples a second are above 0"),
        (DataOptions(joints="none.toml"), "none.toml: no such file; write it with one line a joint"),
        (DataOptions(format="c3d"), "no .c3d file in this folder"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(tmp_path: Path, options: DataOptions, message: str) -> None:
    write_walk_bvh(tmp_path / "ann_1.bvh")
    with pytest.raises(InputError, match=message):
        open_data_set(tmp_path, options)


def test_tables_with_usual_columns_need_no_description(tmp_path: Path) -> None:
    write_sensor_csv(tmp_path / "ann_1.csv", HEADER, sensor_rows(acc=1 / 9.80665, gyro=57.2958, time=1e3))
    write_sensor_csv(tmp_path / "bob_1.csv.gz", HEADER, sensor_rows())
    (tmp_path / "notes.csv").write_text("who,age\nann,3\n")
    data = open_data_set(tmp_path, DataOptions())
    assert data.people() == ("ann", "bob") and data.modality.channels[3] == "gyro_x" and data.labels == ()
    ann, bob = (next(iter(data.recordings([person]))).samples for person in data.people())
    assert len(ann) == len(bob) and np.abs(ann - bob).max() < 1e-3  # each file's own units, one by one
    assert 9 < np.median(np.linalg.norm(ann[:, :3], axis=1)) < 11, "gravity is kept"
    assert data.findings.facts["acceleration"] == {"g": 1, "m/s^2": 1}
    assert data.findings.facts["time"] == {"ms": 1, "s": 1}
    assert "1 tables without an accelerometer are left aside, first notes.csv" in data.skipped[0]


def test_people_come_from_a_manifest_a_column_or_a_pattern(tmp_path: Path) -> None:
    for name in ("x_1", "x_2"):
        write_sensor_csv(tmp_path / f"{name}.csv", HEADER, sensor_rows())
    assert open_data_set(tmp_path, DataOptions()).people() == ("x",)
    assert open_data_set(tmp_path, DataOptions(person_pattern=r"_(?P<person>\d)$")).people() == ("1", "2")
    (tmp_path / "manifest.csv").write_text("file,person,label,ward\nx_1.csv,Ann,walk,n\nx_2.csv,Bob,sit,s\n")
    data = open_data_set(tmp_path, DataOptions())
    assert data.people() == ("Ann", "Bob") and data.labels == ("sit", "walk")
    assert [r.label for r in data.recordings(["Ann"])] == ["walk"]
    assert data.column("ward") == {"Ann": "n", "Bob": "s"}
    with pytest.raises(InputError, match="label 'sit' is not in the declared vocabulary walk"):
        list(open_data_set(tmp_path, DataOptions(labels=("walk",))).recordings(["Bob"]))


def test_a_column_of_people_and_labels_counts_where_they_are_declared(tmp_path: Path) -> None:
    rows = sensor_rows(seconds=8.0)
    lines = [f"{HEADER},user_id,activity"]
    for number, row in enumerate(rows):
        who, what = ("ann", "bob")[number >= 400], ("walk", "sit")[number % 400 >= 200]
        lines.append(",".join([*(f"{cell:.6g}" for cell in row), who, what]))
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    data = open_data_set(tmp_path, DataOptions())
    assert data.people() == ("ann", "bob") and data.labels == ()
    assert "column 'activity' is not used: declare its vocabulary" in data.skipped[0]
    data = open_data_set(tmp_path, DataOptions(labels=("walk", "sit")))
    assert [(r.person, r.label) for r in data.recordings(["ann"])] == [("ann", "walk"), ("ann", "sit")]
    assert data.skipped == []


def test_one_persons_unit_is_found_from_their_own_rows_alone(tmp_path: Path) -> None:
    mine = sensor_rows()
    header = f"{HEADER},person"
    text = [header, *(",".join(f"{c:.6g}" for c in row) + ",ann" for row in mine)]
    (tmp_path / "a.csv").write_text("\n".join(text) + "\n")
    alone = next(iter(open_data_set(tmp_path, DataOptions()).recordings(["ann"]))).samples
    theirs = sensor_rows(seconds=40.0, acc=1 / 9.80665)
    text += [",".join(f"{c:.6g}" for c in row) + ",bob" for row in theirs]
    (tmp_path / "a.csv").write_text("\n".join(text) + "\n")
    data = open_data_set(tmp_path, DataOptions())
    assert np.array_equal(next(iter(data.recordings(["ann"]))).samples, alone)
    assert data.people() == ("ann", "bob")
    whole = np.concatenate([mine, theirs])[:, 1:4]
    found = unit_factors(tmp_path / "a.csv", CHANNELS[:3], [DETECT] * 3, whole)[1]
    assert found == {"acceleration": "g"}, "control: the file looked at whole would move ann's unit"


def test_faults_of_sensor_tables_are_named(tmp_path: Path) -> None:
    write_sensor_csv(tmp_path / "ann_1.csv", HEADER, sensor_rows())
    write_sensor_csv(tmp_path / "bob_1.csv", HEADER, sensor_rows(acc=0.3))
    (tmp_path / "cid_1.csv.gz").write_bytes((tmp_path / "ann_1.csv").read_bytes())
    with pytest.raises(InputError, match=r"cid_1.csv.gz: not a readable CSV file .*--skip-bad"):
        open_data_set(tmp_path, DataOptions())
    data = open_data_set(tmp_path, DataOptions(skip_bad=True))
    assert [r.person for r in data.recordings(data.people())] == ["ann"]
    assert [problem.file for problem in data.findings.problems] == ["cid_1", "bob_1"]
    write_sensor_csv(tmp_path / "dan_1.csv", "time,ax,ay,az", sensor_rows()[:, :4])
    with pytest.raises(InputError, match=r"dan_1.csv: other columns than ann_1.csv.*also with --skip-bad"):
        open_data_set(tmp_path, DataOptions(skip_bad=True))


def test_tables_without_a_clock_take_the_rate_that_is_stated(tmp_path: Path) -> None:
    write_sensor_csv(tmp_path / "ann_1.csv", "ax,ay,az", sensor_rows()[:, 1:4])
    with pytest.raises(InputError, match="no column of time in its tables; give --rate"):
        open_data_set(tmp_path, DataOptions())
    (recording,) = open_data_set(tmp_path, DataOptions(rate=100.0)).recordings(["ann"])
    assert recording.samples.shape == (200, 3)


def test_parquet_tables_are_read_like_csv(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as arrow

    rows = sensor_rows()
    (tmp_path / "p").mkdir()
    (tmp_path / "c").mkdir()
    columns = dict(zip(HEADER.split(","), rows.T, strict=True))
    parquet.write_table(arrow.table(columns), tmp_path / "p" / "ann_1.parquet")
    write_sensor_csv(tmp_path / "c" / "ann_1.csv", HEADER, rows)
    found = [next(iter(open_data_set(tmp_path / n, DataOptions()).recordings(["ann"]))) for n in "pc"]
    assert np.allclose(found[0].samples, found[1].samples, atol=1e-3) and found[0].name == found[1].name


def test_a_described_unit_can_be_detected(tmp_path: Path) -> None:
    write_sensor_csv(tmp_path / "ann_1.csv", "t,a,b,c", sensor_rows(acc=1 / 9.80665)[:, :4])
    layout = "person.pattern = '(?P<person>[a-z]+)_'\ntime = { column = 't', unit = 'detect' }\n[channels]\n"
    for name, column in zip("xyz", "abc", strict=True):
        layout += f'acc_{name} = {{ column = "{column}", unit = "detect" }}\n'
    (tmp_path / "sensors.toml").write_text(layout)
    (recording,) = open_data_set(tmp_path, DataOptions()).recordings(["ann"])
    assert 9 < np.median(np.linalg.norm(recording.samples, axis=1)) < 11
    (tmp_path / "sensors.toml").write_text(layout.replace('"c", unit = "detect"', '"c", unit = "g"'))
    with pytest.raises(InputError, match="unit detect is for all of acc_x, acc_y and acc_z, or for none"):
        open_data_set(tmp_path, DataOptions())


def test_a_table_that_hides_behind_a_fault_is_named(tmp_path: Path) -> None:
    """Not "nothing here": the one table of the folder is damaged."""
    (tmp_path / "ann_1.csv.gz").write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(InputError, match=r"ann_1.csv.gz: not a readable CSV file"):
        open_data_set(tmp_path, DataOptions())


def test_a_name_that_is_no_text_is_refused_before_anything_is_charged(tmp_path: Path) -> None:
    """It has no place in the order of people and would stop a site after the charge."""
    write_walk_bvh(tmp_path / "ann_1.bvh")
    assert open_data_set(tmp_path, DataOptions()).people() == ("ann",)  # the control
    try:
        write_walk_bvh(tmp_path / "b\udcffb_1.bvh")
    except (OSError, UnicodeError):
        pytest.skip("this file system holds no such name")
    with pytest.raises(InputError, match="is no name in UTF-8"):
        open_data_set(tmp_path, DataOptions())
