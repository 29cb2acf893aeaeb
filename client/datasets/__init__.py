"""Data sets of people in motion: open one from a path, whatever it holds."""

from __future__ import annotations

import re
from pathlib import Path

from client.datasets.base import DataOptions, DataSet
from client.datasets.bvh_folder import BvhFolder, bvh_files
from client.datasets.procedural import Procedural
from client.datasets.sensor_csv import SensorCsv
from client.datasets.sensor_layout import DESCRIPTION, SensorLayout, phone_watch_layout, read_layout
from client.datasets.windowed import Windowed
from common.errors import InputError

__all__ = ["DataOptions", "DataSet", "open_data_set"]


def open_data_set(path: Path | None, options: DataOptions) -> DataSet:
    """Open what `path` holds; None is the procedural set.

    A `sensors.toml` (in the folder, or any .toml as the path itself) describes CSV
    files; else a folder with .bvh or .bvh.gz files at any depth is a BVH folder; else
    a folder with files like s01_02_sw.csv is the sp-sw-har layout. Raises InputError
    on anything else, with the way out.
    """
    data = _open(path, options)
    return data if options.window is None else Windowed(data, options.window)


def _open(path: Path | None, options: DataOptions) -> DataSet:
    _check_pattern(options.person_pattern)
    if path is None:
        return Procedural(options)
    if path.suffix == ".toml" and path.is_file():
        return _sensors(path.parent, read_layout(path), options)
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path}: {problem}; give a folder of BVH files or of sensor CSVs, or a .toml")
    if (path / DESCRIPTION).is_file():
        return _sensors(path, read_layout(path / DESCRIPTION), options)
    if bvh_files(path):
        return BvhFolder(path, options)
    if (layout := phone_watch_layout(path, options.device)) is not None:
        return _sensors(path, layout, options)
    raise InputError(
        f"{path}: no BVH file and no known sensor CSV in this folder; give another, or describe its CSV "
        f"files in {DESCRIPTION}"
    )


def _sensors(folder: Path, layout: SensorLayout, options: DataOptions) -> SensorCsv:
    if options.manifest is not None:
        raise InputError(
            f"manifest {options.manifest}: sensor files have none; name a table of people in {DESCRIPTION}"
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
