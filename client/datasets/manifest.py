"""A CSV with one row a file: who is in it and what they do."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from common.errors import InputError

FILE_COLUMNS: Final = ("file", "clip", "motion")
PERSON_COLUMNS: Final = ("person", "subject", "subject_id")
LABEL_COLUMNS: Final = ("label", "action_class")
CAPTION_COLUMN: Final = "caption"
RECORD_COLUMN: Final = "record"
"""Motions of a person with the same text here (a motion, its mirror, its parts) are one record."""
CAPTION_MARK: Final = "|"
"""Between the sentences of one caption cell."""
_SUFFIXES: Final = (".bvh", ".npz", ".npy", ".c3d", ".csv", ".parquet", ".txt", ".tsv")
USUAL_NAME: Final = "manifest.csv"


@dataclass(frozen=True)
class Manifest:
    """Rows by file key (path inside the folder without suffix), and which columns say what."""

    path: Path
    rows: Mapping[str, Mapping[str, str]]
    person_column: str | None
    label_column: str | None

    def row(self, key: str) -> Mapping[str, str] | None:
        """The row of a file: by its path inside the folder, or else by its bare name."""
        return self.rows.get(key) or self.rows.get(PurePosixPath(key).name)

    @property
    def anonymous(self) -> bool:
        """Whether there is a column of persons in which nobody stands: the data do not say who moves."""
        column = self.person_column
        return column is not None and not any(row[column].strip() for row in self.rows.values())

    def require_all_or_nobody(self) -> None:
        """InputError where some rows name a person and some do not.

        Never left out by skip_bad: whether a row without a person is a record of its own or bad would
        depend on whether another row names one.
        """
        column = self.person_column
        if column is None or self.anonymous:
            return
        if empty := next((key for key, row in self.rows.items() if not row[column].strip()), None):
            raise InputError(
                f"{self.path}: row of {empty}: no person in column {column!r}; fill it in for all or for"
                " none, also with --skip-bad"
            )

    def vocabulary(self) -> tuple[str, ...]:
        """The labels of all rows, sorted; empty without a column of labels."""
        if self.label_column is None:
            return ()
        return tuple(sorted({row[self.label_column].strip() for row in self.rows.values()} - {""}))

    def captions(self, row: Mapping[str, str]) -> tuple[str, ...]:
        """The sentences in the caption column of `row`; none where there is no such column."""
        cells = row.get(CAPTION_COLUMN, "").split(CAPTION_MARK)
        return tuple(sentence for cell in cells if (sentence := " ".join(cell.split())))

    def unused(self, keys: Iterable[str]) -> list[str]:
        """Row keys that name none of the files `keys`."""
        known = set(keys) | {PurePosixPath(key).name for key in keys}
        return [key for key in self.rows if key not in known]


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; InputError names a row with too few or too many cells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restkey="", strict=True)
            rows = list(reader)
            columns = reader.fieldnames or []
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of the CSV") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); save it as UTF-8 text") from None
    for number, row in enumerate(rows, start=2):
        if "" in row or None in row.values():
            raise InputError(
                f"{path}: row {number} has not the {len(columns)} cells of the header; correct it"
            )
    return rows


def find_manifest(folder: Path, given: str | None, usual: tuple[str, ...] = (USUAL_NAME,)) -> Manifest | None:
    """`given`, or the first of `usual` in `folder`, or the only CSV there whose header fits, or None."""
    if given is not None:
        return read_manifest(given_file(folder, given))
    for name in usual:
        if (folder / name).is_file():
            return read_manifest(folder / name)
    fitting = [path for path in sorted(folder.glob("*.csv")) if _fits(path)]
    if len(fitting) > 1:
        names = " and ".join(path.name for path in fitting[:2])
        raise InputError(f"{folder}: both {names} could be the manifest; name one with --manifest")
    return read_manifest(fitting[0]) if fitting else None


def given_file(folder: Path, given: str) -> Path:
    """The file that an option names: seen from here, or else inside the data folder."""
    path = Path(given)
    return path if path.exists() else folder / given


def read_manifest(path: Path) -> Manifest:
    """Read `path`; InputError on a missing file column, an empty or repeated file name."""
    table = read_table(path)
    columns = list(table[0]) if table else []
    file_column = _first(FILE_COLUMNS, columns)
    if file_column is None:
        raise InputError(f"{path}: the manifest needs rows and a column {' or '.join(FILE_COLUMNS)}")
    rows: dict[str, Mapping[str, str]] = {}
    for number, row in enumerate(table, start=2):
        key = file_key(row[file_column].strip().replace("\\", "/"))
        if not key or key in rows:
            raise InputError(
                f"{path}: row {number} names {'no file' if not key else f'{key} again'}; correct it"
            )
        rows[key] = row
    return Manifest(path, rows, _first(PERSON_COLUMNS, columns), _first(LABEL_COLUMNS, columns))


def file_key(name: str) -> str:
    """A file name or path inside the folder without the suffixes of motion files."""
    bare = name.removesuffix(".gz").removeprefix("./")
    suffix = next((suffix for suffix in _SUFFIXES if bare.lower().endswith(suffix)), "")
    return bare[: len(bare) - len(suffix)]


def _fits(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        header = next(csv.reader(stream), [])
    return _first(FILE_COLUMNS, header) is not None and (
        _first(PERSON_COLUMNS, header) is not None or _first(LABEL_COLUMNS, header) is not None
    )


def _first(wanted: Iterable[str], columns: Iterable[str]) -> str | None:
    present = set(columns)
    return next((name for name in wanted if name in present), None)
