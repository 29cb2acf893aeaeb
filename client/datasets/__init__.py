"""Data sets of people in motion: open one from a path, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from client.datasets.amass_folder import AmassFolder
from client.datasets.array_folder import ArrayFolder
from client.datasets.base import DataOptions, DataSet, Findings, Format, Problem, check_unit
from client.datasets.bvh_folder import BvhFolder
from client.datasets.c3d_folder import C3dFolder
from client.datasets.humanml3d_folder import HumanML3DFolder, is_humanml3d
from client.datasets.idx_folder import IdxFolder, is_idx
from client.datasets.motion_folder import MotionFolder, files_with
from client.datasets.procedural import Procedural
from client.datasets.sensor_columns import look_for_tables, open_sensor_tables
from client.datasets.sensor_csv import SensorCsv
from client.datasets.sensor_layout import DESCRIPTION, SensorLayout, phone_watch_layout, read_layout
from client.datasets.windowed import Windowed
from common.errors import InputError

__all__ = ["DataOptions", "DataSet", "Findings", "Format", "Problem", "check_unit", "open_data_set"]

FOLDERS: Final[Mapping[Format, type[MotionFolder]]] = {
    "bvh": BvhFolder,
    "humanml3d": HumanML3DFolder,
    "amass": AmassFolder,
    "npy": ArrayFolder,
    "c3d": C3dFolder,
}
"""Formats of skeleton motion, each with the data set that reads it."""
_FOR: Final[Mapping[str, tuple[Format, ...]]] = {
    "joints": ("bvh", "c3d"), "split": ("humanml3d",), "rate": ("npy", "amass", "humanml3d", "sensors")
}  # fmt: skip
"""Options that say something about some formats alone."""


def open_data_set(path: Path | None, options: DataOptions) -> DataSet:
    """Open what `path` holds; None is the procedural set.

    A `sensors.toml` (in the folder, or any .toml as the path itself) describes sensor
    tables. Otherwise the folder is looked at: HumanML3D's folders, .bvh(.gz), .npz, .npy or
    .c3d files at any depth, idx files of images, files like s01_02_sw.csv (the sp-sw-har
    layout), or tables with columns of an accelerometer. Where it holds several, `options.format`
    says which is meant. Raises InputError on anything else, with the way out.
    """
    data = _open(path, options)
    return data if options.window is None else Windowed(data, options.window)


def _open(path: Path | None, options: DataOptions) -> DataSet:
    _check_pattern(options.person_pattern)
    if options.rate is not None and not 0 < options.rate < float("inf"):
        raise InputError(f"rate {options.rate:g}: frames or samples a second are above 0")
    if path is None:
        return Procedural(options)
    if path.suffix == ".toml" and path.is_file():
        return _sensors(path.parent, read_layout(path), options)
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path}: {problem}; give a folder of motions or of sensor tables, or a .toml")
    found = options.format or _format(path)
    for name, formats in _FOR.items():
        if getattr(options, name) is not None and found not in formats:
            raise InputError(
                f"{path}: --{name} is for {', '.join(formats)}, and this is {found}: leave it out"
            )
    if found == "idx":
        return IdxFolder(path, options)
    if found in FOLDERS:
        return FOLDERS[found](path, options)
    if (path / DESCRIPTION).is_file():
        return _sensors(path, read_layout(path / DESCRIPTION), options)
    if (layout := phone_watch_layout(path, options.device)) is not None:
        return _sensors(path, layout, options)
    return open_sensor_tables(path, options)


def formats_in(path: Path) -> Iterator[Format]:
    """The formats of which a folder holds something, told by names and the headers of tables."""
    if (path / DESCRIPTION).is_file():
        yield "sensors"
        return
    if is_idx(path):
        yield "idx"
    humanml3d = is_humanml3d(path)
    if humanml3d:
        yield "humanml3d"
    for name, kind in FOLDERS.items():
        arrays_of_humanml3d = humanml3d and name == "npy"
        if name != "humanml3d" and not arrays_of_humanml3d and any(files_with(path, kind.suffixes)):
            yield name
    if phone_watch_layout(path, "sw") is not None or look_for_tables(path)[0]:
        yield "sensors"


def _format(path: Path) -> Format:
    found = list(formats_in(path))
    if len(found) > 1:
        raise InputError(
            f"{path}: holds {' and '.join(found)}; say which is meant with --data-format {found[0]}, or give"
            " each a folder of its own"
        )
    if not found:
        if hidden := look_for_tables(path)[1]:
            raise hidden
        raise InputError(
            f"{path}: no motion file (.bvh, .npz, .npy, .c3d), no idx file of images and no known sensor"
            f" table in this folder; give another, or describe its tables in {DESCRIPTION}"
        )
    return found[0]


def _sensors(folder: Path, layout: SensorLayout, options: DataOptions) -> SensorCsv:
    if options.manifest is not None:
        raise InputError(
            f"manifest {options.manifest}: described sensor files have none; name a table of people in"
            f" {DESCRIPTION}"
        )
    return SensorCsv(folder, layout, options)


def _check_pattern(pattern: str | None) -> None:
    try:
        if pattern is not None and "person" not in re.compile(pattern).groupindex:
            raise InputError(f"--person-pattern {pattern!r}: needs a group (?P<person>...)")
    except re.error as error:
        raise InputError(
            f"--person-pattern {pattern!r}: not a regular expression ({error}); correct it"
        ) from None
