"""Columns, units and clocks that a sensor table does not state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.sensor_units import DETECT, find_columns, time_factor, unit_factors
from common.motion.sensors import CHANNELS, UNITS
from common.motion.table import read_columns, read_header
from tests.common.motion.files import fuzz, sensor_rows, write_sensor_csv

HERE = Path("one.csv")


@pytest.mark.parametrize(
    "header, time, units",
    [
        ("timestamp,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z,label", "timestamp", [DETECT] * 6),
        ("Time (ms),ax,ay,az,gx,gy,gz", "Time (ms)", [DETECT] * 6),
        ("t,AccX [m/s^2],AccY [m/s^2],AccZ [m/s^2],GyrX (°/s),GyrY (°/s),GyrZ (°/s)", "t",
         ["m/s^2"] * 3 + ["deg/s"] * 3),
        ("time_s,x_acc_mg,y_acc_mg,z_acc_mg", "time_s", ["mg"] * 3),
        ("Accelerometer_X (g),Accelerometer_Y (g),Accelerometer_Z (g),Gyroscope_X (rad/s),"
         "Gyroscope_Y (rad/s),Gyroscope_Z (rad/s)", None, ["g"] * 3 + ["rad/s"] * 3),
    ],
)  # fmt: skip
def test_names_say_what_columns_are(header: str, time: str | None, units: list[str]) -> None:
    found = find_columns(header.split(","), "a.csv")
    assert found is not None
    assert list(found.channels) == list(CHANNELS[: len(units)])
    assert [unit for _, unit in found.channels.values()] == units
    assert (found.time and found.time[0]) == time


def test_other_tables_are_none_and_two_candidates_are_refused() -> None:
    assert find_columns(["file", "person", "label"], "a.csv") is None
    assert find_columns(["time", "ax", "ay"], "a.csv") is None
    with pytest.raises(InputError, match="both 'ax' and 'acc_x' could be acc_x"):
        find_columns(["ax", "ay", "az", "acc_x"], "a.csv")
    found = find_columns(["time", "subject_id", "activity", "ax", "ay", "az"], "a.csv")
    assert found is not None and (found.person, found.label) == ("subject_id", "activity")


@pytest.mark.parametrize("acc", ["m/s^2", "g", "mg"])
@pytest.mark.parametrize("gyro", ["rad/s", "deg/s"])
def test_units_are_found_from_the_numbers(acc: str, gyro: str) -> None:
    values = sensor_rows(acc=1 / UNITS[acc], gyro=1 / UNITS[gyro])[:, 1:]
    factors, found = unit_factors(HERE, CHANNELS, [DETECT] * 6, values)
    assert found == {"acceleration": acc, "turning": gyro}
    assert np.allclose(values * factors, sensor_rows()[:, 1:])


def test_a_stated_unit_stays_whatever_the_numbers_look_like() -> None:
    values = sensor_rows()[:, 1:]
    factors, found = unit_factors(HERE, CHANNELS, ["g"] * 3 + ["deg/s"] * 3, values)
    assert found == {} and np.allclose(factors, [UNITS["g"]] * 3 + [UNITS["deg/s"]] * 3)


@pytest.mark.parametrize(
    "values, message",
    [
        (sensor_rows(acc=0.3)[:, 1:], r"median acceleration of .* is gravity in none"),
        (sensor_rows(gyro=10)[:, 1:], "may be rad/s or deg/s; write the unit into the column's name"),
        (np.tile([0.0, 9.81, 0.0, 0.1, 0.1, 0.1], (400, 1)), "may be rad/s or deg/s"),  # hardly moves
    ],
)
def test_what_is_ambiguous_is_refused_with_the_way_out(values: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        unit_factors(HERE, CHANNELS, [DETECT] * 6, values)
    assert "one.csv" in str(caught.value) and "sensors.toml" in str(caught.value)


@pytest.mark.parametrize("unit, seconds", [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)])
@pytest.mark.parametrize("rate", [5.0, 25.0, 104.0, 1000.0])
def test_the_unit_of_time_is_the_one_whose_steps_a_sensor_can_have(
    unit: str, seconds: float, rate: float
) -> None:
    times = np.asarray(
        np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 500)) / (rate * seconds), np.float64
    )
    assert time_factor(HERE, times) == (seconds, unit)


def test_times_of_no_sensor_are_refused() -> None:
    for step in (1e4, 0.0):
        with pytest.raises(InputError, match="fit no unit from s to ns"):
            time_factor(HERE, np.linspace(0.0, step * 1e10, 11))


def test_delimiters_dates_and_parquet_give_the_same_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as arrow

    rows = sensor_rows(seconds=1.0)
    plain = read_columns(write_sensor_csv(tmp_path / "a.csv", "t,ax,ay,az,gx,gy,gz", rows))
    text = (tmp_path / "a.csv").read_text()
    for name, mark in (("semicolon.csv", ";"), ("tab.csv", "\t")):
        (tmp_path / name).write_text(text.replace(",", mark))
        assert read_columns(tmp_path / name).columns == plain.columns
    columns = {name: [float(c) for c in plain.text(name)] for name in plain.columns}
    stamps = np.datetime64("2024-05-31T12:00:00", "ns") + (rows[:, 0] * 1e9).astype("timedelta64[ns]")
    table = arrow.table({**columns, "who": ["ann"] * len(rows), "when": arrow.array(stamps)})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = read_columns(tmp_path / "a.parquet")
    assert read_header(tmp_path / "a.parquet") == ("t", "ax", "ay", "az", "gx", "gy", "gz", "who", "when")
    assert np.array_equal(found.numbers("gy"), plain.numbers("gy")) and found.text("who")[0] == "ann"
    seconds, dates = found.instants("when")
    assert dates and np.allclose(seconds, rows[:, 0] - rows[0, 0], atol=1e-6)
    assert not plain.instants("t")[1]


def test_damaged_tables_are_named_and_nothing_else_happens(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as arrow

    def numbers(path: Path) -> None:
        table = read_columns(path)
        for name in table.columns:
            table.numbers(name)

    rows = sensor_rows(seconds=1.0)
    for name in ("a.csv", "a.csv.gz"):
        path = write_sensor_csv(tmp_path / name, "t,ax,ay,az,gx,gy,gz", rows)
        assert fuzz(numbers, path, 90) > 30
        fuzz(read_header, path, 60)
    parquet.write_table(arrow.table({"t": rows[:, 0], "ax": rows[:, 1]}), tmp_path / "a.parquet")
    assert fuzz(numbers, tmp_path / "a.parquet", 90) > 30


@pytest.mark.parametrize(
    "text, message",
    [
        ("t,ax\n", "0 rows of data are no recording"),
        ("t,ax\n1,2\n3\n4,5\n", "row 3 has not the 2 cells"),
        ("t,t\n1,2\n3,4\n", "two columns 't'"),
        ("t,ax\n1,2\n2,nan\n3,1\n", "row 3, column 'ax': 'nan' is no finite number"),
        ("t,ax\n2024-05-31 12:00:00,2\n2024-05-31 12:00,x\nnever,1\n", "dates that are not all like"),
        ("t,ax\n2024-05-31 12:00:00+01:00,2\n2024-05-31 12:00:01+01:00,1\n", "dates that are not all like"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        table = read_columns(path)
        table.instants("t")
        table.numbers("ax")
    assert "bad.csv" in str(caught.value)
