"""Tables of sensor readings: CSV (plain or gzip) and Parquet files."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError

Floats = NDArray[np.float64]

PARQUET: Final = ".parquet"
CSV_SUFFIXES: Final = (".csv", ".csv.gz")
_DELIMITERS: Final = ",;\t"
_FIRST_ROW: Final = 2  # the header is row 1


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of one file by column: text as it is written, numbers as float64 (missing: NaN)."""

    path: Path
    columns: dict[str, list[str] | Floats]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def text(self, name: str) -> list[str]:
        """A column as text; whole numbers without a point."""
        cells = self._column(name)
        return cells if isinstance(cells, list) else [f"{cell:.15g}" for cell in cells]

    def numbers(self, name: str) -> Floats:
        """A column as finite numbers; InputError names the row of the first cell that is none."""
        cells = self._column(name)
        values = _numbers(cells)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            cell = cells[bad[0]] if isinstance(cells, list) else "nan"
            raise InputError(
                f"{self.path}: row {bad[0] + _FIRST_ROW}, column {name!r}: {cell!r} is no finite number; "
                "correct it"
            )
        return values

    def instants(self, name: str) -> tuple[Floats, bool]:
        """A column of times, and whether they were dates (then in seconds since 1970)."""
        cells = self._column(name)
        if isinstance(cells, list) and cells and "-" in cells[0][1:] and ":" in cells[0]:
            bare = [cell.strip().removesuffix("Z") for cell in cells]
            try:
                if any("+" in cell for cell in bare):  # numpy would warn of an offset and go on
                    raise ValueError
                dates = np.array(bare, "datetime64[ns]")
            except ValueError:
                raise InputError(
                    f"{self.path}: column {name!r} holds dates that are not all like 2024-05-31T12:00:00.000;"
                    " correct them"
                ) from None
            if not np.isnat(dates).any():
                return (dates - dates[0]).astype(np.float64) * 1e-9, True
        return self.numbers(name), False

    def _column(self, name: str) -> list[str] | Floats:
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise InputError(f"{self.path}: no column {name!r}; its columns are {known}")
        return self.columns[name]


def read_header(path: Path) -> tuple[str, ...]:
    """The column names of a CSV or Parquet file; InputError where it cannot be read."""
    if path.suffix.lower() == PARQUET:
        return tuple(str(name) for name in _parquet(path).schema_arrow.names)
    with _reading(path) as stream:
        line = stream.readline()
        rows = list(csv.reader([line], delimiter=_delimiter(line), strict=True))
    return tuple(name.strip() for name in rows[0]) if rows else ()


def read_columns(path: Path) -> Table:
    """All cells of a CSV or Parquet file; InputError on ragged rows, repeated names or a broken file."""
    if path.suffix.lower() == PARQUET:
        return _checked(_read_parquet(path))
    with _reading(path) as stream:
        first = stream.readline()
        stream.seek(0)
        rows = list(csv.reader(stream, delimiter=_delimiter(first), strict=True))
    if len(rows) < 3:
        raise InputError(f"{path}: {max(0, len(rows) - 1)} rows of data are no recording; remove the file")
    header = [name.strip() for name in rows[0]]
    ragged = next((i for i, row in enumerate(rows, start=1) if len(row) != len(header)), None)
    if ragged is not None:
        raise InputError(f"{path}: row {ragged} has not the {len(header)} cells of the header; correct it")
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise InputError(f"{path}: two columns {twice!r}; rename one")
    return Table(
        path, {name: list(cells) for name, cells in zip(header, zip(*rows[1:], strict=True), strict=True)}
    )


def _checked(table: Table) -> Table:
    if table.rows < 2:
        raise InputError(f"{table.path}: {table.rows} rows of data are no recording; remove the file")
    return table


@contextmanager
def _reading(path: Path) -> Iterator[TextIO]:
    try:
        with (
            gzip.open(path, "rt", newline="", encoding="utf-8-sig")
            if path.suffix.lower() == ".gz"
            else path.open(newline="", encoding="utf-8-sig") as stream
        ):
            yield stream
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: not a readable CSV file ({str(error) or 'truncated'}); export it again"
        ) from None


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs pyarrow: pip install 'fedmotion[parquet]', or save it as CSV"
        ) from None
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # arrow names its own errors, one for each way a file can be broken
        raise _broken(path, error) from None


def _read_parquet(path: Path) -> Table:
    import pyarrow as arrow

    file = _parquet(path)
    columns: dict[str, list[str] | Floats] = {}
    try:
        table = file.read()
        for name, column in zip(table.column_names, table.columns, strict=True):
            kind = column.type
            if name in columns:
                raise InputError(f"{path}: two columns {name!r}; rename one")
            if arrow.types.is_timestamp(kind) or arrow.types.is_date(kind):
                columns[name] = [str(value) for value in column.to_numpy().astype("datetime64[ns]")]
            elif (
                arrow.types.is_integer(kind) or arrow.types.is_floating(kind) or arrow.types.is_boolean(kind)
            ):
                columns[name] = np.asarray(column.cast(arrow.float64()).to_numpy(), np.float64)
            else:
                columns[name] = ["" if value is None else str(value) for value in column.to_pylist()]
    except InputError:
        raise
    except Exception as error:
        raise _broken(path, error) from None
    return Table(path, columns)


def _broken(path: Path, error: Exception) -> InputError:
    line = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(f"{path}: not a readable Parquet file ({line}); export it again")


def _numbers(cells: list[str] | Floats) -> Floats:
    if not isinstance(cells, list):
        return cells
    try:
        return np.array(cells, np.float64)
    except ValueError:
        return np.array([_number(cell) for cell in cells])


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
