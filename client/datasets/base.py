"""What every data set offers, and the options that open one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from common.errors import InputError
from common.motion.recording import Modality, Recording


class DataSet(Protocol):
    """People and their recordings; nothing of a person is read before `recordings` asks for that person."""

    @property
    def modality(self) -> Modality: ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The declared vocabulary, sorted; empty when the data say nothing. A public fact."""

    @property
    def origin(self) -> str:
        """A short public description, such as "BVH folder dances"."""

    @property
    def skipped(self) -> list[str]:
        """One line for each file or run left out so far, with the reason. Stays at the site."""

    def people(self) -> tuple[str, ...]:
        """Everyone, sorted, from names and manifests alone: no motion is parsed."""

    def column(self, name: str) -> dict[str, str]:
        """Each person's value in a manifest column; InputError if unknown or not one value a person."""

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        """The recordings of `people`, in a fixed order; only their files are parsed."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How to read a data set.

    `person_pattern`: regular expression with a group `person`, searched in a file's
    path inside the folder; without it the manifest tells the person, or else the text
    before the first `_` of the file name. `manifest`: a CSV with one row a file.
    `labels`: the declared vocabulary; without it the manifest's or the layout's.
    `device`: watch ("sw") or phone ("sp") in the sp-sw-har layout. `skip_bad`: leave
    unreadable files out (listed in `skipped`) instead of stopping. `people`, `motions`
    and `seed` size the procedural set, `actions` says what its people do; with
    `heterogeneity` its `sites` (how many of equal share, or their shares), between which
    people are dealt above `holdout`, differ.
    """

    person_pattern: str | None = None
    manifest: str | None = None
    labels: tuple[str, ...] | None = None
    device: Literal["sw", "sp"] = "sw"
    skip_bad: bool = False
    people: int = 2000
    motions: int = 4
    seed: int = 0
    actions: Literal["basic", "all"] = "basic"
    heterogeneity: float = 0.0
    sites: int | tuple[float, ...] = 1
    holdout: float = 0.0


def one_value_each(
    pairs: Collection[tuple[str, Mapping[str, str]]], column: str, source: str
) -> dict[str, str]:
    """Person -> value of `column` over (person, row) `pairs`; `source` names the table in errors."""
    values: dict[str, str] = {}
    for person, row in pairs:
        if column not in row:
            known = ", ".join(row) or "none"
            raise InputError(f"{source}: no column {column!r}; its columns are {known}")
        value = row[column].strip()
        if not value:
            raise InputError(f"{source}: person {person} has no value in column {column!r}; fill it in")
        if values.setdefault(person, value) != value:
            raise InputError(
                f"{source}: person {person} has two values in column {column!r}, {values[person]!r} and "
                f"{value!r}; choose a column with one value for each person"
            )
    return values


def check_label(label: str, vocabulary: Collection[str], source: str) -> str:
    """`label` if the declared `vocabulary` holds it, else InputError naming both and `source`."""
    if label not in vocabulary:
        raise InputError(
            f"{source}: label {label!r} is not in the declared vocabulary {', '.join(sorted(vocabulary))}; "
            "declare it or correct the file"
        )
    return label


class SkippedFiles:
    """What was left out, one line a file or run, however often the data are read."""

    def __init__(self, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self._lines: dict[str, str] = {}

    def refuse(self, name: str, error: InputError) -> None:
        """Note `error` under skip_bad; otherwise raise it with the way out."""
        if not self.skip_bad:
            raise InputError(f"{error}, or pass --skip-bad to leave it out") from None
        self.note(name, str(error))

    def note(self, name: str, line: str) -> None:
        self._lines[name] = line

    @property
    def lines(self) -> list[str]:
        return list(self._lines.values())
