"""A folder of sensor tables that nobody describes: their columns' names say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from client.datasets.base import DataOptions, Findings
from client.datasets.manifest import USUAL_NAME, Manifest, file_key, find_manifest, given_file
from client.datasets.motion_folder import files_with
from client.datasets.sensor_csv import SensorCsv
from client.datasets.sensor_layout import DESCRIPTION, Channel, Name, SensorLayout, Time
from common.errors import InputError
from common.motion.sensor_units import Columns, find_columns
from common.motion.table import CSV_SUFFIXES, PARQUET, read_header

SUFFIXES: Final = (*CSV_SUFFIXES, PARQUET)
_FIRST_WORD: Final = r"(?:^|/)(?P<person>[^/_]+)[^/]*$"


def look_for_tables(folder: Path) -> tuple[bool, InputError | None]:
    """Whether some table under `folder` has columns of an accelerometer, and what hid another's if not."""
    hidden: InputError | None = None
    for path in files_with(folder, SUFFIXES):
        try:
            if find_columns(read_header(path), str(path)) is not None:
                return True, None
        except InputError as error:
            hidden = hidden or error
    return False, hidden


def open_sensor_tables(folder: Path, options: DataOptions) -> SensorCsv:
    """The tables under `folder` with accelerometer columns, as a data set.

    Whose rows they are: `person_pattern`, a manifest's person column, a person column, or the
    text before the first `_` of the file name. The manifest's label is that of a whole file;
    a column of labels counts where `labels` declares the vocabulary.
    """
    findings = Findings(options.skip_bad)
    tables = _tables(folder, options, findings)
    usual = next(iter(tables.values()))
    given = options.manifest is not None or (folder / USUAL_NAME).is_file()
    manifest = find_manifest(folder, options.manifest) if given else None
    layout = _layout(folder, usual, options, manifest)
    unknown = [problem for problem in findings.problems if problem.left_out]
    if layout.person.column is not None and options.person_pattern is None and unknown:
        raise InputError(f"{unknown[0].reason}; mend it: --skip-bad leaves out no file of several people")
    data = SensorCsv(folder, layout, options, tables, manifest, findings)
    if usual.label is not None and not data.labels:
        line = f"{folder}: column {usual.label!r} is not used: declare its vocabulary with labels"
        findings.note(f"column {usual.label}", line)
    return data


def _tables(folder: Path, options: DataOptions, findings: Findings) -> dict[Path, Columns]:
    """The tables with accelerometer columns, all of one kind."""
    tables: dict[Path, Columns] = {}
    others: list[str] = []
    keys: dict[str, Path] = {}
    for path in sorted(files_with(folder, SUFFIXES)):
        if _is_manifest(folder, path, options):
            continue
        key = file_key(path.relative_to(folder).as_posix())
        try:
            columns = find_columns(read_header(path), str(path))
            if columns is not None and (same := keys.setdefault(key, path)) != path:
                raise InputError(f"{path}: {same.name} is the same recording; remove one of them")
        except InputError as error:
            findings.refuse(key, error)
            continue
        if columns is None:
            others.append(path.relative_to(folder).as_posix())
        else:
            tables[path] = columns
    if not tables:
        raise InputError(
            f"{folder}: no table with columns like acc_x, acc_y, acc_z; describe them in {DESCRIPTION}"
        )
    if others:
        line = f"{folder}: {len(others)} tables without an accelerometer are left aside, first {others[0]}"
        findings.note("other tables", line)
    first, usual = next(iter(tables.items()))
    for path, columns in tables.items():
        if columns != usual:
            # Never left out by skip_bad: which are odd would depend on everybody's files.
            raise InputError(
                f"{path}: other columns than {first.name}; keep one kind of table in a folder, or describe"
                f" them in {DESCRIPTION}, also with --skip-bad"
            )
    return tables


def _layout(folder: Path, columns: Columns, options: DataOptions, manifest: Manifest | None) -> SensorLayout:
    if columns.time is None and options.rate is None:
        raise InputError(f"{folder}: no column of time in its tables; give --rate, their samples a second")
    listed = manifest is not None and manifest.person_column is not None
    by_column = columns.person is not None and not listed
    whole_files = manifest is not None and manifest.label_column is not None
    labelled = columns.label is not None and options.labels is not None and not whole_files
    time = None
    if columns.time is not None:
        time = Time.model_validate({"column": columns.time[0], "unit": columns.time[1]})
    return SensorLayout(
        person=Name(column=columns.person) if by_column else Name(pattern=_FIRST_WORD),
        label=Name(column=columns.label) if labelled else None,
        labels=options.labels or () if labelled else (),
        channels={name: Channel(column=c, unit=unit) for name, (c, unit) in columns.channels.items()},
        time=time,
        rate=options.rate if time is None else None,
    )


def _is_manifest(folder: Path, path: Path, options: DataOptions) -> bool:
    manifests = {folder / USUAL_NAME}
    if options.manifest is not None:
        manifests.add(given_file(folder, options.manifest))
    return path.resolve() in {manifest.resolve() for manifest in manifests}
