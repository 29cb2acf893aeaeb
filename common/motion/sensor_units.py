"""What a sensor file's own header and numbers say about its columns and units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.sensors import CHANNELS, UNITS

Floats = NDArray[np.float64]

DETECT: Final = "detect"
"""Stands for a unit that is found from each person's own numbers."""
TIME_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
STATE_IT: Final = "write the unit into the column's name, as in acc_x (g), or into sensors.toml"

_ACC: Final = "a|acc|accel|acceleration|accelerometer"
_GYRO: Final = "g|w|gyr|gyro|gyroscope|angularvelocity|rotationrate"
_ACC_UNITS: Final = {"g": "g", "mg": "mg", "ms2": "m/s^2", "mss": "m/s^2", "ms²": "m/s^2"}
_GYRO_UNITS: Final = {
    "rads": "rad/s", "radpersec": "rad/s", "degs": "deg/s", "°s": "deg/s", "dps": "deg/s",
    "degpersec": "deg/s",
}  # fmt: skip
_TIMES: Final = (
    "time", "timestamp", "t", "seconds", "secondselapsed", "elapsed", "elapsedtime", "epoch", "unixtime",
    "datetime", "date", "millis",
)  # fmt: skip
_TIME_SUFFIXES: Final = {"s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "µs": "us", "ns": "ns"}
_PERSONS: Final = (
    "person", "personid", "subject", "subjectid", "user", "userid", "participant", "participantid",
)  # fmt: skip
_LABELS: Final = ("label", "activity", "action", "actionclass")

_ACC_RANGES: Final = {"m/s^2": (7.0, 13.0), "g": (0.7, 1.35), "mg": (700.0, 1350.0)}
_GYRO_LIMIT: Final = 40.0  # rad/s: beyond what a sensor of 2,000 deg/s can say
_GYRO_CALM: Final = 15.0  # as deg/s, next to no movement
_MOVING: Final = 0.08  # spread of |acceleration| in g of a body that does move
_STEPS: Final = (0.0005, 0.25)  # seconds between two samples


@dataclass(frozen=True)
class Columns:
    """The columns of a header: channel -> column and its stated unit, time, person and label."""

    channels: Mapping[str, tuple[str, str]]
    time: tuple[str, str] | None
    person: str | None
    label: str | None


def find_columns(header: Sequence[str], source: str) -> Columns | None:
    """What the names in `header` mean; None without a three-axis accelerometer.

    Raises InputError where two columns could be one channel.
    """
    channels: dict[str, tuple[str, str]] = {}
    for column in header:
        found = _channel(column)
        if found is None:
            continue
        channel, unit = found
        if channel in channels:
            raise InputError(
                f"{source}: both {channels[channel][0]!r} and {column!r} could be {channel}; say which in"
                " sensors.toml"
            )
        channels[channel] = (column, unit)
    if not all(channel in channels for channel in CHANNELS[:3]):
        return None
    whole = all(channel in channels for channel in CHANNELS[3:])
    wanted = CHANNELS if whole else CHANNELS[:3]
    time = next((t for column in header if (t := _time(column)) is not None), None)
    return Columns(
        {channel: channels[channel] for channel in wanted},
        time,
        next((column for column in header if _plain(column) in _PERSONS), None),
        next((column for column in header if _plain(column) in _LABELS), None),
    )


def unit_factors(
    path: Path, channels: Sequence[str], units: Sequence[str], values: Floats
) -> tuple[Floats, dict[str, str]]:
    """Factor of each channel of one person's `values` `[n, channels]`, and the units that were found.

    A stated unit stays. Acceleration: the median length, which gravity keeps near 9.81 m/s^2,
    1 g or 1,000 mg. Turning: over 40 in 1 % of the samples are deg/s, as sensors end at
    2,000 deg/s = 35 rad/s; under 15 while the body moves are rad/s. Anything else is
    ambiguous: InputError with the way out.
    """
    found: dict[str, str] = {}
    factors = np.array([1.0 if unit == DETECT else UNITS[unit] for unit in units])
    acc = [i for i, channel in enumerate(channels) if channel in CHANNELS[:3]]
    gyro = [i for i, channel in enumerate(channels) if channel in CHANNELS[3:]]
    if any(units[i] == DETECT for i in acc):
        found["acceleration"] = _acceleration_unit(path, values[:, acc])
        factors[acc] = UNITS[found["acceleration"]]
    if any(units[i] == DETECT for i in gyro):
        lengths = np.linalg.norm(values[:, acc] * factors[acc], axis=1) / UNITS["g"]
        found["turning"] = _turning_unit(path, values[:, gyro], len(acc) == 3 and lengths.std() > _MOVING)
        factors[gyro] = UNITS[found["turning"]]
    return factors, found


def time_factor(path: Path, times: Floats) -> tuple[float, str]:
    """Seconds in one unit of one person's `times`, not decreasing: the unit whose steps a sensor can have."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    step = float(np.median(steps)) if len(steps) else 0.0
    low, high = _STEPS
    for unit, seconds in TIME_UNITS.items():
        if low <= step * seconds <= high:
            return seconds, unit
    raise InputError(
        f"{path}: times {step:.3g} apart fit no unit from s to ns; write it into the column's name, as in"
        " time_ms, or into sensors.toml"
    )


def _acceleration_unit(path: Path, values: Floats) -> str:
    middle = float(np.median(np.linalg.norm(values, axis=1)))
    for unit, (low, high) in _ACC_RANGES.items():
        if low <= middle <= high:
            return unit
    raise InputError(
        f"{path}: a median acceleration of {middle:.3g} is gravity in none of m/s^2, g and mg (was it taken"
        f" out?); {STATE_IT}"
    )


def _turning_unit(path: Path, values: Floats, moving: bool) -> str:
    most = float(np.percentile(np.linalg.norm(values, axis=1), 99))
    if most >= _GYRO_LIMIT:
        return "deg/s"
    if most < _GYRO_CALM and moving:
        return "rad/s"
    raise InputError(f"{path}: turning at {most:.3g} may be rad/s or deg/s; {STATE_IT}")


def _channel(column: str) -> tuple[str, str] | None:
    """Our channel and its stated unit (or `DETECT`)."""
    for kind, names, units in (("acc", _ACC, _ACC_UNITS), ("gyro", _GYRO, _GYRO_UNITS)):
        ends = "|".join(map(re.escape, sorted(units, key=len, reverse=True)))
        found = re.fullmatch(
            rf"(?:(?:{names})(?P<last>[xyz])|(?P<first>[xyz])(?:{names}))(?P<unit>{ends})?", _plain(column)
        )
        if found is not None:
            axis = found["last"] or found["first"]
            return f"{kind}_{axis}", units[found["unit"]] if found["unit"] else DETECT
    return None


def _time(column: str) -> tuple[str, str] | None:
    plain = _plain(column)
    if plain in ("seconds", "secondselapsed"):
        return column, "s"
    if plain == "millis":
        return column, "ms"
    if plain in _TIMES:
        return column, DETECT
    for suffix, unit in sorted(_TIME_SUFFIXES.items(), key=lambda item: -len(item[0])):
        if plain.endswith(suffix) and plain.removesuffix(suffix) in _TIMES:
            return column, unit
    return None


def _plain(column: str) -> str:
    """Lower-case letters and digits of a column's name, its unit included."""
    return re.sub(r"[^a-z0-9²°µ]", "", column.lower())
