"""Tables of wearable sensors, one or more recordings a file, cut into runs of one label."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.datasets.base import DataOptions, Findings, check_label, check_people, one_value_each
from client.datasets.manifest import PERSON_COLUMNS, Manifest, file_key, read_table
from client.datasets.sensor_layout import SensorLayout
from common.errors import InputError
from common.motion.recording import Recording
from common.motion.sensor_units import DETECT, TIME_UNITS, time_factor, unit_factors
from common.motion.sensors import Run, fill_window, label_runs
from common.motion.table import Table, read_columns

Floats = NDArray[np.float64]

LONGEST = 31 * 86_400.0
"""Seconds of the longest recording that is believed."""


class SensorCsv:
    """A folder of sensor tables as a data set; each recording is one run of one label.

    Runs come at the target rate, gravity kept. One shorter than a window but at least
    half as long is mirrored to a window; a shorter one is left out and counted in
    `skipped` (`common.motion.sensors.fill_window`: the run alone decides). A unit that
    nobody states is found from each person's rows in a file alone. `manifest` has a row a
    file: its person and label, where it has such columns, count before the layout's.
    """

    unknown_people: str | None = None

    def __init__(
        self,
        folder: Path,
        layout: SensorLayout,
        options: DataOptions,
        files: Collection[Path] | None = None,
        manifest: Manifest | None = None,
        findings: Findings | None = None,
    ) -> None:
        self._folder, self._layout, self._manifest = folder, layout, manifest
        self.findings = findings or Findings(options.skip_bad)
        self.modality = layout.modality
        labels = layout.labels if manifest is None else manifest.vocabulary() or layout.labels
        self.labels = tuple(sorted(set(labels if options.labels is None else options.labels)))
        self.origin = f"sensor folder {folder.resolve().name}"
        self._pattern = options.person_pattern or layout.person.pattern
        named = manifest is not None and manifest.person_column is not None
        self._listed = named and options.person_pattern is None
        found = files if files is not None else (path for path in folder.glob(layout.files) if path.is_file())
        if not (ordered := sorted(found)):
            raise InputError(
                f"{folder}: no file matches {layout.files}; correct `files` or give another folder"
            )
        self._files = {path: people for path in ordered if (people := self._people_in(path))}
        check_people(self.people(), str(folder))

    @property
    def skipped(self) -> list[str]:
        return self.findings.lines

    def people(self) -> tuple[str, ...]:
        return tuple(sorted(set().union(*self._files.values())))

    def column(self, name: str) -> dict[str, str]:
        if self._manifest is not None and self._layout.people is None:
            rows = [(person, self._row(path)) for path, found in self._files.items() for person in found]
            return one_value_each(rows, name, str(self._manifest.path))
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
                self._refuse(path, error, one_person=self._whole_files or len(persons) == 1)
                continue
            yield from found

    def _people_in(self, path: Path) -> frozenset[str]:
        """Whose rows `path` holds: from the manifest or its name, or from its person column alone."""
        try:
            if self._manifest is not None:
                row = self._row(path)
            if self._manifest is not None and self._listed:
                people = frozenset({row[self._manifest.person_column or ""].strip()})
                if "" in people:
                    raise InputError(f"{path}: {self._manifest.path.name} names no person for it; fill it in")
            elif self._pattern is None:
                people = frozenset(map(str.strip, read_columns(path).text(self._layout.person.column or "")))
            else:
                people = frozenset({_search(self._pattern, "person", self._key(path), path)})
            if "" in people:
                raise InputError(
                    f"{path}: a row names no person; fill in column {self._layout.person.column!r}"
                )
        except InputError as error:
            self._refuse(path, error, one_person=self._whole_files)
            return frozenset()
        return people

    @property
    def _whole_files(self) -> bool:
        """Whether each file is one person's."""
        return self._pattern is not None or self._listed

    def _row(self, path: Path) -> dict[str, str]:
        assert self._manifest is not None
        row = self._manifest.row(self._key(path))
        if row is None:
            raise InputError(f"{path}: {self._manifest.path.name} has no row for {self._key(path)}; add one")
        return dict(row)

    def _refuse(self, path: Path, error: InputError, one_person: bool) -> None:
        """Leave `path` out, if that is wanted and it is one person's: else one would decide over others."""
        if not one_person and self.findings.skip_bad:
            raise InputError(f"{error}; mend it: --skip-bad leaves out no file of several people")
        self.findings.refuse(self._key(path), error)

    def _read(self, path: Path, wanted: Collection[str]) -> list[Recording]:
        """All runs of the wanted people in `path`; nothing is handed over from a file with an error."""
        table, layout = read_columns(path), self._layout
        channels = layout.channels.values()
        values = np.stack([table.numbers(channel.column) * channel.scale for channel in channels], axis=1)
        units = [channel.unit for channel in channels]
        labels = self._labels_in(table)
        recordings: list[Recording] = []
        for person in sorted(self._files[path]):
            rows = self._rows_of(table, person)
            if person not in wanted:
                continue
            time, facts = self._time(table, rows)
            factors, found = unit_factors(path, tuple(layout.channels), units, values[rows])
            named = None if labels is None else [labels[row] for row in rows]
            runs = label_runs(time, values[rows] * factors, named, layout.target_rate)
            self.findings.fact(f"{self._key(path)} {person}", **facts, **found)
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
            self.findings.note(f"{self._key(path)} {person}", line)

    def _rows_of(self, table: Table, person: str) -> NDArray[np.intp]:
        if self._whole_files:
            return np.arange(table.rows)
        names = table.text(self._layout.person.column or "")
        return np.flatnonzero([name.strip() == person for name in names])

    def _time(self, table: Table, rows: NDArray[np.intp]) -> tuple[Floats, dict[str, str]]:
        """Seconds from the first of `rows`, which never run backwards, and what the clock is like."""
        layout, unit = self._layout, "s"
        if layout.time is None:
            rate = layout.rate or 1.0
            return np.arange(len(rows)) / rate, {"rate": f"{rate:.4g} Hz"}
        time, dates = table.instants(layout.time.column)
        time = time[rows] - time[rows[0]]
        back = np.flatnonzero(np.diff(time) < 0)
        if len(back):
            raise InputError(
                f"{table.path}: time runs backwards at row {rows[back[0] + 1] + 2}; sort the rows"
            )
        if not dates:
            unit = layout.time.unit
            factor, unit = time_factor(table.path, time) if unit == DETECT else (TIME_UNITS[unit], unit)
            time = time * factor
        if time[-1] > LONGEST:
            raise InputError(f"{table.path}: lasts {time[-1]:.3g} s; correct the unit of time, {unit}")
        steps = np.diff(time)
        rate = 1 / float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        return time, {"rate": f"{round(rate)} Hz", "time": "date" if dates else unit}

    def _labels_in(self, table: Table) -> list[str] | None:
        """The label of each row, checked against the declared vocabulary."""
        name, manifest = self._layout.label, self._manifest
        if manifest is not None and manifest.label_column is not None:
            found = [self._row(table.path)[manifest.label_column].strip()] * table.rows
        elif name is None:
            return None
        elif name.column is None:
            found = [_search(name.pattern or "", "label", self._key(table.path), table.path)] * table.rows
        else:
            found = [cell.strip() for cell in table.text(name.column)]
        for label in dict.fromkeys(found):
            check_label(label, self.labels, str(table.path))
        return found

    def _key(self, path: Path) -> str:
        return file_key(path.relative_to(self._folder).as_posix())


def _search(pattern: str, group: str, key: str, path: Path) -> str:
    found = re.search(pattern, key)
    text = (found and found[group]) or ""
    if not text:
        raise InputError(f"{path}: the pattern {pattern!r} finds no {group} in {key!r}; correct the pattern")
    return text
