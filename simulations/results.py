"""What a sweep found: a row for each cell, as Parquet, as Markdown tables and as a page of plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.storage import write_atomically, writing
from simulations.results_page import results_page
from simulations.results_table import markdown
from simulations.sweep import Cell

FAILED: Final = "failed"
_TEXT: Final = (
    "cell", "status", "reason", "method", "trust", "unit", "relation", "accountant", "guarantee",
)  # fmt: skip
_WHOLE: Final = (
    "people",
    "sites",
    "sites_per_person",
    "rounds",
    "dimension",
    "seed",
    "bytes_down",
    "bytes_up",
)
_QUALITY: Final = ("frechet", "teaches", "accuracy")
GENERATORS: Final = ("private", "public_only", "floor")


@dataclass(frozen=True)
class Result:
    """A cell with its `run.json`; None where it has none that counts, and the `reason` why."""

    cell: Cell
    run: Mapping[str, Any] | None
    reason: str

    def row(self) -> dict[str, Any]:
        """One row of the table; what nobody measured is None, an infinite epsilon is infinite."""
        head: dict[str, Any] = {
            "cell": self.cell.name,
            "status": FAILED if self.run is None else "done",
            "reason": self.reason if self.run is None else None,
        }
        asked = {f"asked_{key}": value for key, value in self.cell.point.items()}
        return head | (_blank() if self.run is None else _facts(self.run)) | asked

    def json(self) -> dict[str, Any]:
        """The row as JSON, which has no infinity: null stands for it beside `guarantee`."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self.row().items()
        }


def _facts(run: Mapping[str, Any]) -> dict[str, Any]:
    privacy = run["privacy"]
    return {
        "method": run["method"],
        "people": sum(site["declared_population"] for site in run["sites"]),
        "sites": len(run["sites"]),
        "sites_per_person": privacy["sites_per_person"],
        "epsilon_target": _infinite(privacy["epsilon_target"]),
        "epsilon_spent": _infinite(privacy["epsilon_spent"]),
        "delta": privacy["delta"],
        "unit": privacy["unit"],
        "relation": privacy["neighbouring"],
        "accountant": privacy["accountant"],
        "trust": privacy["trust"],
        "guarantee": run["guarantee"],
        "seed": run["seed"],
        "rounds": run["rounds"],
        "dimension": run["dimension"],
        "noise": run["parameters"]["noise"],
        **_measured(run["quality"]),
        **run["training"],
    }


def _measured(quality: Mapping[str, Any]) -> dict[str, float | None]:
    rows = {row["generator"]: row for row in quality.get("table", [])}
    return {f"{figure}_{name}": rows.get(name, {}).get(figure) for figure in _QUALITY for name in GENERATORS}


def _blank() -> dict[str, None]:
    return dict.fromkeys([*_TEXT[3:], *_WHOLE, *_numbers()])


def _numbers() -> list[str]:
    measured = [f"{figure}_{name}" for figure in _QUALITY for name in GENERATORS]
    return ["epsilon_target", "epsilon_spent", "delta", "noise", *measured, "seconds"]


def _infinite(value: float | None) -> float:
    return math.inf if value is None else value


def write_results(results: Sequence[Result], keys: Sequence[str], out: Path) -> None:
    """`results.parquet`, `results.md` and `results.html` in `out`; `keys` are those of the grid."""
    rows = [result.row() for result in results]
    _write_parquet(rows, keys, out / "results.parquet")
    write_atomically(out / "results.md", markdown(rows, keys).encode())
    write_atomically(out / "results.html", results_page(rows, keys).encode())


def _write_parquet(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [(name, pa.string()) for name in _TEXT]
    kinds += [(name, pa.int64()) for name in _WHOLE] + [(name, pa.float64()) for name in _numbers()]
    kinds += [(f"asked_{key}", pa.string()) for key in keys]
    texts = [{k: str(v) if k.startswith("asked_") else v for k, v in row.items()} for row in rows]
    columns = {name: [row.get(name) for row in texts] for name, _ in kinds}
    with writing(path):
        temporary = path.with_name(f".{path.name}.new")
        pq.write_table(pa.table(columns, schema=pa.schema(kinds)), temporary)
        temporary.replace(path)
