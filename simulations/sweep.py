"""A grid of simulations from one TOML file: cells, each with its settings and a name of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from common.errors import InputError, way_out
from common.methods import AUTO, DEFAULT, NAMES, checked_options
from simulations.config import Simulation, beside, read_values
from simulations.toml import read_toml, to_toml

Scalar = str | int | float | bool
MOST_CELLS: Final = 10_000
ALL: Final = "all"
"""In place of a list of methods: every one there is."""
TABLES: Final = ("base", "grid", "method")
_WORD: Final = re.compile(r"[^A-Za-z0-9.]+")
_LONGEST: Final = 40


@dataclass(frozen=True)
class Cell:
    """One simulation: `point` is where in the grid it lies, `settings` all that it is told."""

    name: str
    point: Mapping[str, Scalar]
    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The settings as a TOML file."""
        return to_toml({key: _plain(value) for key, value in self.settings.items()})

    @property
    def method(self) -> str:
        return str(self.settings.get("method", DEFAULT))

    def checked(self) -> Simulation:
        """The settings as a simulation reads them; InputError names what is wrong."""
        return read_values(self.settings)


@dataclass(frozen=True)
class Sweep:
    """All cells of a file, in the order of its lists; `keys` are those of the grid."""

    keys: tuple[str, ...]
    cells: tuple[Cell, ...]


def read_sweep(path: Path) -> Sweep:
    """The sweep that `path` describes; InputError names table and key of what is wrong."""
    found = read_toml(path)
    for table in found:
        if table not in TABLES:
            raise InputError(f"{path}: unknown table {table}: {way_out(table, TABLES)}")
    tables = {name: _table(path, name, found.get(name, {})) for name in TABLES}
    base, grid, methods = tables["base"], tables["grid"], tables["method"]
    if grid.get("method") == ALL:
        grid["method"] = list(NAMES)
    _require_keys(path, "base", base)
    _require_grid(path, grid, base)
    _require_methods(path, methods, grid.get("method", [base.get("method", DEFAULT)]), grid)
    cells = tuple(_cells(path, base, grid, methods))
    for cell in cells:
        try:
            cell.checked()
            _require_options(cell)
        except InputError as error:
            line = str(error).removeprefix("simulate: ")
            raise InputError(f"{path}: cell {cell.name}: {line}") from None
    return Sweep(tuple(grid), cells)


def _cells(
    path: Path, base: Mapping[str, Any], grid: Mapping[str, list[Scalar]], methods: Mapping[str, Any]
) -> Iterator[Cell]:
    """Every combination: the base, then the table of its method, then its place in the grid."""
    words = {key: _words(key, values) for key, values in grid.items()}
    for places in itertools.product(*(range(len(values)) for values in grid.values())):
        point = {key: grid[key][place] for key, place in zip(grid, places, strict=True)}
        own = methods.get(str(point.get("method", base.get("method", DEFAULT))), {})
        settings = {**base, **own, **point}
        if options := {**base.get("options", {}), **own.get("options", {})}:
            settings["options"] = options
        name = "-".join(words[key][place] for key, place in zip(grid, places, strict=True))
        yield Cell(name or "run", point, beside(settings, path.resolve().parent))


def _words(key: str, values: list[Scalar]) -> list[str]:
    """A short word for each value, to name folders with; no two are the same."""
    found = [_WORD.sub("_", str(value))[-_LONGEST:].strip("_.") for value in values]
    if len(set(found)) < len(found) or not all(found):
        found = [str(number) for number in range(1, len(values) + 1)]
    return found if key in ("method", "trust") else [f"{key}{word}" for word in found]


def _table(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} must be a table: write [{name}] and its keys below")
    return value


def _require_keys(path: Path, table: str, values: Mapping[str, Any]) -> None:
    for key in values:
        if key not in Simulation.model_fields:
            raise InputError(f"{path}: unknown key {table}.{key}: {_nearest(key)}")


def _nearest(key: str) -> str:
    line = way_out(key, list(Simulation.model_fields))
    return line if line.startswith("did") else "remove it, or see docs/configuration.md for the keys"


def _require_grid(path: Path, grid: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    if not grid:
        raise InputError(f'{path}: [grid] is missing: list what varies, such as method = ["moments"]')
    _require_keys(path, "grid", grid)
    count = 1
    for key, values in grid.items():
        place = f"{path}: grid.{key}"
        if not isinstance(values, list) or not values:
            raise InputError(f"{place} = {values!r}: it must be a list of one or more values")
        if wrong := [value for value in values if not isinstance(value, Scalar)]:
            raise InputError(f"{place} holds {wrong[0]!r}: say tables and lists in [base] or [method.NAME]")
        if again := [value for number, value in enumerate(values) if value in values[:number]]:
            raise InputError(f"{place} lists {again[0]} twice: remove one")
        if key in base:
            raise InputError(f"{place} is in [base] as well: leave it out of one")
        count *= len(values)
    if count > MOST_CELLS:
        raise InputError(f"{path}: the grid has {count:,} cells, more than {MOST_CELLS:,}: shorten a list")
    for method in grid.get("method", []):
        _require_method(f"{path}: grid.method", method)


def _require_method(place: str, method: object) -> None:
    if method != AUTO and method not in NAMES:
        raise InputError(f"{place}: unknown method {method!r}: {way_out(str(method), [*NAMES, AUTO])}")


def _require_methods(
    path: Path, methods: Mapping[str, Any], used: list[Any], grid: Mapping[str, Any]
) -> None:
    for method, values in methods.items():
        if method not in used:
            raise InputError(
                f"{path}: [method.{method}] is of no cell: {way_out(method, [str(name) for name in used])}"
            )
        own = _table(path, f"method.{method}", values)
        _require_keys(path, f"method.{method}", own)
        if both := sorted({"method", *grid} & own.keys()):
            raise InputError(f"{path}: method.{method}.{both[0]} is in [grid] as well: leave it out of one")


def _require_options(cell: Cell) -> None:
    """InputError where the method does not take its options: an hour later would be late."""
    options = cell.settings.get("options", {})
    if cell.method != AUTO and isinstance(options, dict):
        checked_options(cell.method, options)


def _plain(value: Any) -> Any:
    """Paths as text; TOML has no others."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else cast(Any, value)
