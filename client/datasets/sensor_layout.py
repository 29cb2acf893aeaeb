"""What a set of sensor tables looks like: `sensors.toml`, or the built-in sp-sw-har layout."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.errors import InputError
from common.motion.recording import Modality
from common.motion.sensor_units import DETECT
from common.motion.sensors import CHANNELS, SENSOR, UNITS

DESCRIPTION: Final = "sensors.toml"
_PHONE_WATCH_FILE: Final = re.compile(r"^s\d+_\d+_(sw|sp)\.csv(\.gz)?$")
_PHONE_WATCH_LABELS: Final = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Channel(_Strict):
    """One channel: the column, its unit (`common.motion.sensors.UNITS`, or `detect`) and a further factor."""

    column: str
    unit: str = "1"
    scale: float = Field(default=1.0, allow_inf_nan=False)

    @field_validator("unit")
    @classmethod
    def _known(cls, unit: str) -> str:
        if unit not in (*UNITS, DETECT):
            raise ValueError(f"the unit is one of {', '.join(UNITS)}, or {DETECT}")
        return unit


class Time(_Strict):
    """The column that holds the time, and its unit; dates have none."""

    column: str
    unit: Literal["s", "ms", "us", "ns", "detect"] = "s"


class Name(_Strict):
    """A person or a label: a CSV column, or a pattern with a group of that name over the file's path."""

    column: str | None = None
    pattern: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Name:
        if (self.column is None) == (self.pattern is None):
            raise ValueError("give either a column or a pattern")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression ({error})") from None
        return self


class SensorLayout(_Strict):
    """Which files, which columns, which clock, who and what, and the windows wanted.

    Either `rate` (Hz of evenly sampled rows) or `time`. `labels` declares the
    vocabulary and stands exactly where `label` does. `people` is an optional CSV of
    facts about each person (a column person, subject or subject_id).
    """

    files: str = "*.csv"
    person: Name
    label: Name | None = None
    labels: tuple[str, ...] = ()
    channels: dict[str, Channel] = Field(min_length=1)
    time: Time | None = None
    rate: Positive | None = None
    people: str | None = None
    target_rate: Positive = SENSOR.rate
    window: int = Field(default=SENSOR.window, ge=8, le=4096)

    @model_validator(mode="after")
    def _consistent(self) -> SensorLayout:
        if (self.time is None) == (self.rate is None):
            raise ValueError("give either rate or time")
        channels = set(self.channels)
        for sensor, axes in (("acc", set(CHANNELS[:3])), ("gyro", set(CHANNELS[3:]))):
            units = {channel.unit for key, channel in self.channels.items() if key in axes}
            if DETECT in units and (units != {DETECT} or not axes <= channels):
                raise ValueError(
                    f"unit {DETECT} is for all of {sensor}_x, {sensor}_y and {sensor}_z, or for none"
                )
        if any(c.unit == DETECT and key not in CHANNELS for key, c in self.channels.items()):
            raise ValueError(f"unit {DETECT} is for {', '.join(CHANNELS)} alone")
        if (self.label is None) != (not self.labels):
            raise ValueError("label and labels (the declared vocabulary) go together")
        for key, name in (("person", self.person), ("label", self.label)):
            if name and name.pattern and key not in re.compile(name.pattern).groupindex:
                raise ValueError(f"{key}.pattern needs a group (?P<{key}>...)")
        return self

    @property
    def modality(self) -> Modality:
        return Modality(
            kind="sensor", rate=self.target_rate, window=self.window, channels=tuple(self.channels)
        )


def read_layout(path: Path) -> SensorLayout:
    """The layout that a TOML file describes; InputError names the file, the key and what is wrong."""
    try:
        return SensorLayout.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a readable TOML file ({error}); correct it") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}; correct it") from None


def phone_watch_layout(folder: Path, device: str) -> SensorLayout | None:
    """The layout of sp-sw-har (Matey-Sanz et al., Data in Brief 2023) if `folder` has it, or None."""
    if not any(_PHONE_WATCH_FILE.match(path.name) for path in folder.rglob("s*_*_s*.csv*")):
        return None
    columns = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro")
    units = ("m/s^2",) * 3 + ("rad/s",) * 3
    return SensorLayout(
        files=f"**/s*_*_{device}.csv*",
        person=Name(pattern=r"(?:^|/)(?P<person>s\d+)_\d+_s[wp]$"),
        label=Name(column="label"),
        labels=tuple(sorted(_PHONE_WATCH_LABELS)),
        channels={c: Channel(column=n, unit=u) for c, n, u in zip(CHANNELS, columns, units, strict=True)},
        time=Time(column="timestamp", unit="ms"),
        people="subjects_info.csv" if (folder / "subjects_info.csv").is_file() else None,
    )
