"""CSV files of wearable sensors, one or more recordings a file, cut into runs of one label."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client.datasets.base import DataOptions, SkippedFiles, check_label, one_value_each
from client.datasets.manifest import PERSON_COLUMNS, read_table
from client.datasets.sensor_layout import SensorLayout
from common.errors import InputError
from common.motion.recording import Recording
from common.motion.sensors import UNITS, Run, fill_window, label_runs

Floats = NDArray[np.float64]

_SUFFIXES: Final = (".gz", ".csv", ".txt", ".tsv")


@dataclass(frozen=True)
class Table:
    """The cells of one CSV file by column, as text."""

    path: Path
    columns: dict[str, list[str]]

    def text(self, name: str) -> list[str]:
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise InputError(f"{self.path}: no column {name!r}; its columns are {known}")
        return self.columns[name]

    def numbers(self, name: str) -> Floats:
        """A column as finite numbers; InputError names the row of the first cell that is none."""
        cells = self.text(name)
        try:
            values = np.array(cells, np.float64)
        except ValueError:
            values = np.array([_number(cell) for cell in cells])
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(
                f"{self.path}: row {bad[0] + 2}, column {name!r}: {cells[bad[0]]!r} is no finite number; "
                "correct it"
            )
        return values


def read_columns(path: Path) -> Table:
    """All cells of a CSV file (plain or .gz) with a header; InputError on ragged rows or a broken file."""
    try:
        with (
            gzip.open(path, "rt", newline="", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(newline="", encoding="utf-8-sig") as stream
        ):
            rows = list(csv.reader(stream, strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: not a readable CSV file ({str(error) or 'truncated'}); export it again"
        ) from None
    if len(rows) < 3:
        raise InputError(f"{path}: {max(0, len(rows) - 1)} rows of data are no recording; remove the file")
    header = [name.strip() for name in rows[0]]
    ragged = next((i for i, row in enumerate(rows, start=1) if len(row) != len(header)), None)
    if ragged is not None:
        raise InputError(f"{path}: row {ragged} has not the {len(header)} cells of the header; correct it")
    return Table(
        path, {name: list(cells) for name, cells in zip(header, zip(*rows[1:], strict=True), strict=True)}
    )


class SensorCsv:
    """A folder of sensor CSV files as a data set; each recording is one run of one label.

    Runs come at the target rate, gravity kept. One shorter than a window but at least
    half as long is mirrored to a window; a shorter one is left out and counted in
    `skipped` (`common.motion.sensors.fill_window`: the run alone decides).
    """

    def __init__(self, folder: Path, layout: SensorLayout, options: DataOptions) -> None:
        self._folder, self._layout = folder, layout
        self._skipped = SkippedFiles(options.skip_bad)
        self.modality = layout.modality
        self.labels = layout.labels if options.labels is None else options.labels
        self.labels = tuple(sorted(set(self.labels)))
        self.origin = f"sensor folder {folder.resolve().name}"
        self._pattern = options.person_pattern or layout.person.pattern
        files = sorted(path for path in folder.glob(layout.files) if path.is_file())
        if not files:
            raise InputError(
                f"{folder}: no file matches {layout.files}; correct `files` or give another folder"
            )
        self._files = {path: found for path in files if (found := self._people_in(path))}

    @property
    def skipped(self) -> list[str]:
        return self._skipped.lines

    def people(self) -> tuple[str, ...]:
        return tuple(sorted(set().union(*self._files.values())))

    def column(self, name: str) -> dict[str, str]:
        if self._layout.people is None:
            raise InputError(
                f"{self._folder}: no table of people, so no column {name!r}; add `people` to sensors.toml"
            )
        path = self._folder / self._layout.people
        table = read_table(path)
        key = next((c for c in PERSON_COLUMNS if table and c in table[0]), None)
        if key is None:
            raise InputError(f"{path}: needs rows and a column {' or '.join(PERSON_COLUMNS)}")
        known = set(self.people())
        values = one_value_each([(row[key].strip(), row) for row in table], name, str(path))
        if missing := sorted(known - values.keys()):
            raise InputError(f"{path}: person {missing[0]} has no row; add one")
        return {person: value for person, value in values.items() if person in known}

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        wanted = frozenset(people)
        for path, persons in self._files.items():
            if persons.isdisjoint(wanted):
                continue
            try:
                found = self._read(path, wanted)
            except InputError as error:
                self._refuse(path, error, one_person=len(persons) == 1)
                continue
            yield from found

    def _people_in(self, path: Path) -> frozenset[str]:
        """Whose rows `path` holds: from its name, or from its person column alone."""
        try:
            if self._pattern is None:
                people = frozenset(map(str.strip, read_columns(path).text(self._layout.person.column or "")))
            else:
                people = frozenset({_search(self._pattern, "person", self._key(path), path)})
            if "" in people:
                raise InputError(
                    f"{path}: a row names no person; fill in column {self._layout.person.column!r}"
                )
        except InputError as error:
            self._refuse(path, error, one_person=self._pattern is not None)
            return frozenset()
        return people

    def _refuse(self, path: Path, error: InputError, one_person: bool) -> None:
        """Leave `path` out, if that is wanted and it is one person's: else one would decide over others."""
        if not one_person and self._skipped.skip_bad:
            raise InputError(f"{error}; mend it: --skip-bad leaves out no file of several people")
        self._skipped.refuse(str(path), error)

    def _read(self, path: Path, wanted: Collection[str]) -> list[Recording]:
        """All runs of the wanted people in `path`; nothing is handed over from a file with an error."""
        table, layout = read_columns(path), self._layout
        values = np.stack(
            [table.numbers(c.column) * (UNITS[c.unit] * c.scale) for c in layout.channels.values()], axis=1
        )
        labels = self._labels_in(table)
        recordings: list[Recording] = []
        for person in sorted(self._files[path]):
            rows = self._rows_of(table, person)
            if person not in wanted:
                continue
            time = self._time(table, rows)
            named = None if labels is None else [labels[row] for row in rows]
            runs = label_runs(time, values[rows], named, layout.target_rate)
            recordings += self._windows(path, person, runs)
        return recordings

    def _windows(self, path: Path, person: str, runs: Sequence[Run]) -> Iterator[Recording]:
        short = 0
        for number, run in enumerate(runs, start=1):
            samples = fill_window(run.samples, self.modality.window)
            if samples is None:
                short += 1
                continue
            yield Recording(
                person=person, name=f"{self._key(path)} run {number}", label=run.label, samples=samples
            )
        if short:
            half = self.modality.window / self.modality.rate / 2
            line = f"{path}: {short} of {len(runs)} runs of {person} are under half a window ({half:.2f} s)"
            self._skipped.note(f"{path} {person}", line)

    def _rows_of(self, table: Table, person: str) -> NDArray[np.intp]:
        if self._pattern is not None:
            return np.arange(len(next(iter(table.columns.values()))))
        names = table.text(self._layout.person.column or "")
        return np.flatnonzero([name.strip() == person for name in names])

    def _time(self, table: Table, rows: NDArray[np.intp]) -> Floats:
        """Seconds from the first of `rows`, which never run backwards."""
        if self._layout.time is None:
            return np.arange(len(rows)) / (self._layout.rate or 1.0)
        time = table.numbers(self._layout.time.column)[rows]
        back = np.flatnonzero(np.diff(time) < 0)
        if len(back):
            raise InputError(
                f"{table.path}: time runs backwards at row {rows[back[0] + 1] + 2}; sort the rows"
            )
        return np.asarray((time - time[0]) * self._layout.time.seconds, np.float64)

    def _labels_in(self, table: Table) -> list[str] | None:
        """The label of each row, checked against the declared vocabulary."""
        name = self._layout.label
        if name is None:
            return None
        if name.column is None:
            label = _search(name.pattern or "", "label", self._key(table.path), table.path)
            found = [label] * len(next(iter(table.columns.values())))
        else:
            found = [cell.strip() for cell in table.text(name.column)]
        for label in dict.fromkeys(found):
            check_label(label, self.labels, str(table.path))
        return found

    def _key(self, path: Path) -> str:
        key = path.relative_to(self._folder).as_posix()
        for suffix in _SUFFIXES:
            key = key.removesuffix(suffix)
        return key


def _search(pattern: str, group: str, key: str, path: Path) -> str:
    found = re.search(pattern, key)
    text = (found and found[group]) or ""
    if not text:
        raise InputError(f"{path}: the pattern {pattern!r} finds no {group} in {key!r}; correct the pattern")
    return text


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
