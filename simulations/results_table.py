"""Rows of a sweep as Markdown: one table for each thing that may be compared, means and spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Final

Row = Mapping[str, Any]

_TERMS: Final = (
    "people", "sites", "sites_per_person", "delta", "unit", "relation", "accountant", "trust",
)  # fmt: skip
"""Rows that agree in these, and in the grid's other keys, are one table: its epsilons mean the same."""
_WITHIN: Final = ("method", "epsilon", "people", "sites", "trust", "seed")
_HEADS: Final = (
    "method", "epsilon spent", "runs", "Fréchet", "teaches", "noise / signal", "seconds", "up", "down",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows that may be compared, under what their epsilons hold."""

    terms: Mapping[str, Any]
    others: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)

    @property
    def title(self) -> str:
        """People, sites, trust and the grid's other keys."""
        terms = self.terms
        words = [
            f"{terms['people']:,} people in training",
            f"{terms['sites']} sites",
            f"trust {terms['trust']}",
        ]
        return ", ".join([*words, *(f"{key} {value}" for key, value in self.others.items())])

    @property
    def claim(self) -> str:
        """What every epsilon of the table stands under."""
        terms = self.terms
        return (
            f"Epsilon at delta {terms['delta']:.3g} for every {terms['unit']} ({terms['relation']},"
            f" {terms['accountant']}, trust {terms['trust']}, at most {terms['sites_per_person']}"
            f" {'site' if terms['sites_per_person'] == 1 else 'sites'} a person)"
        )

    def groups(self) -> list[tuple[str, float, list[Row]]]:
        """(method, epsilon asked for, runs of all seeds): by epsilon, then the closest to people first."""
        found: dict[tuple[str, float], list[Row]] = {}
        for row in self.rows:
            found.setdefault((named(row), row["epsilon_target"]), []).append(row)
        made = [(method, epsilon, rows) for (method, epsilon), rows in found.items()]
        return sorted(made, key=lambda group: (group[1], mean(group[2], "frechet_private"), group[0]))


def named(row: Row) -> str:
    """The method, and that it was found by itself where it was not asked for by name."""
    asked = row.get("asked_method", row["method"])
    return str(row["method"]) if asked == row["method"] else f"{asked}: {row['method']}"


def tables(rows: Sequence[Row], keys: Sequence[str]) -> list[Table]:
    """The finished `rows`, by what their epsilons stand under."""
    others = [key for key in keys if key not in _WITHIN]
    found: dict[tuple[Any, ...], Table] = {}
    for row in rows:
        if row["status"] != "done":
            continue
        terms = {name: row[name] for name in _TERMS}
        other = {key: row[f"asked_{key}"] for key in others}
        found.setdefault((*terms.values(), *other.values()), Table(terms, other)).rows.append(row)
    return list(found.values())


def markdown(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """All tables, and why cells failed."""
    return "\n".join(
        [*_head(rows), *(line for table in tables(rows, keys) for line in _lines(table)), *_failed(rows)]
    )


def _head(rows: Sequence[Row]) -> Iterator[str]:
    done = sum(row["status"] == "done" for row in rows)
    yield f"# Sweep: {done} of {len(rows)} runs\n"
    yield (
        "Fréchet: distance to people held out, 0 is equal. Teaches: share of people held out whom a"
        " classifier taught by generated motions alone takes for their label. Noise / signal: the sizing"
        " rule's kappa. Up, down: bytes that one site sends and gets in a round. Public only: the same"
        " generator without any of the people. Floor: real people against others. Mean ± standard"
        " deviation over the runs. Quality is"
        " evaluated in simulation against people held out; it is not released.\n"
    )


def _lines(table: Table) -> Iterator[str]:
    yield f"## {table.title}\n"
    yield f"{table.claim}.\n"
    yield f"| {' | '.join(_HEADS)} |"
    yield f"|---|{'---:|' * (len(_HEADS) - 1)}"
    for method, epsilon, runs in table.groups():
        spent = "inf, no guarantee" if math.isinf(epsilon) else spread(runs, "epsilon_spent")
        if not math.isinf(epsilon) and any(run["guarantee"] == "none" for run in runs):
            spent = "no guarantee"
        figures = [spread(runs, name) for name in ("frechet_private", "teaches_private", "noise", "seconds")]
        sizes = [_bytes(mean(runs, name)) for name in ("bytes_up", "bytes_down")]
        yield f"| {' | '.join([method, spent, str(len(runs)), *figures, *sizes])} |"
    for name in ("public_only", "floor"):
        figures = [spread(table.rows, f"{figure}_{name}") for figure in ("frechet", "teaches")]
        first = f"{name.replace('_', ' ')} | none of the sites' data | {len(table.rows)}"
        yield f"| {first} | {' | '.join(figures)} | | | | |"
    yield ""


def _failed(rows: Sequence[Row]) -> Iterator[str]:
    failed = [row for row in rows if row["status"] != "done"]
    if not failed:
        return
    yield "## Not done\n\n| cell | why |\n|---|---|"
    for row in failed:
        yield f"| {row['cell']} | {str(row['reason']).replace('|', '/')} |"
    yield ""


def values(rows: Sequence[Row], name: str) -> list[float]:
    """What was measured."""
    return [float(row[name]) for row in rows if row[name] is not None]


def mean(rows: Sequence[Row], name: str) -> float:
    """NaN where nothing was measured."""
    found = values(rows, name)
    return fmean(found) if found else math.nan


def spread(rows: Sequence[Row], name: str) -> str:
    """Mean ± standard deviation of what was measured; without the latter where it is of one run."""
    found = values(rows, name)
    if not found:
        return "not measured"
    middle = f"{fmean(found):.3g}"
    return middle if len(found) < 2 else f"{middle} ± {stdev(found):.2g}"


def _bytes(count: float) -> str:
    if math.isnan(count):
        return "not measured"
    return f"{count:.0f} B" if count < 1000 else f"{count / 1000:,.1f} kB"
