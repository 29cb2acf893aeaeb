"""What every data set offers, and the options that open one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from common.errors import InputError
from common.event import Unit
from common.motion.recording import Modality, Recording

Format = Literal["bvh", "humanml3d", "amass", "npy", "c3d", "sensors", "idx"]
"""What a folder may hold; where it holds several, the user says which is meant."""


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

    @property
    def findings(self) -> Findings:
        """The same and more, for `data inspect`. Stays at the site."""

    @property
    def unknown_people(self) -> str | None:
        """Why the data do not say who is who, and the way out; None where they do."""

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
    `labels`: the declared vocabulary; without it the manifest's or the layout's. Of idx files: the
    names of the classes, in their order.
    `device`: watch ("sw") or phone ("sp") in the sp-sw-har layout. `skip_bad`: leave
    unreadable files out (listed in `skipped`) instead of stopping. `format`: which of the
    formats in the folder is meant. `joints`: a TOML from our joints to those of BVH or C3D
    files. `split`: the list of motions of a HumanML3D folder. `rate`: frames or samples a
    second of files that do not say. `people`, `motions` and `seed` size the procedural set,
    `actions` says what its people do; with `heterogeneity` its `sites` (how many of equal
    share, or their shares), between which people are dealt above `holdout`, differ.
    `window`: frames of a skeleton sequence, by default 60.
    """

    person_pattern: str | None = None
    manifest: str | None = None
    labels: tuple[str, ...] | None = None
    device: Literal["sw", "sp"] = "sw"
    skip_bad: bool = False
    format: Format | None = None
    joints: str | None = None
    split: str | None = None
    rate: float | None = None
    people: int = 2000
    motions: int = 4
    seed: int = 0
    window: int | None = None
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


def check_people(people: Collection[str], source: str) -> None:
    """InputError for a name that is no text, or two alike but for capitals, spaces or composed letters.

    One person under two names would be promised half of what they are owed. No option leaves
    either out: it would depend on the other's files.
    """
    seen: dict[str, str] = {}
    for person in people:
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in person):
            raise InputError(f"{source}: {person!r} is no name in UTF-8 (or holds a zero byte); rename it")
        plain = " ".join(unicodedata.normalize("NFKC", person).casefold().split())
        if (other := seen.setdefault(plain, person)) != person:
            raise InputError(
                f"{source}: {other!r} and {person!r} look like one person twice; give a person one name"
            )


def check_unit(data: DataSet, unit: Unit) -> None:
    """InputError where a person is the unit and the data do not say who is who."""
    if unit == "user" and data.unknown_people is not None:
        raise InputError(data.unknown_people)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, by its path inside the folder; whether it was left out for that."""

    file: str
    reason: str
    left_out: bool


class Findings:
    """What was found while reading, however often the data are read: problems, and facts of each file."""

    def __init__(self, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad
        self._problems: dict[str, Problem] = {}
        self._facts: dict[str, dict[str, str]] = {}

    def refuse(self, name: str, error: InputError) -> None:
        """Note `error` about file `name` under skip_bad; otherwise raise it with the way out."""
        if not self.skip_bad:
            raise InputError(f"{error}, or pass --skip-bad to leave it out") from None
        self._problems[name] = Problem(name, str(error), left_out=True)

    def note(self, name: str, line: str) -> None:
        """Note something about file `name` that does not leave it out."""
        self._problems[name] = Problem(name, line, left_out=False)

    def fact(self, name: str, **facts: str) -> None:
        """Note what a readable file is like: its rate, its unit, its skeleton."""
        self._facts[name] = facts

    @property
    def problems(self) -> list[Problem]:
        return list(self._problems.values())

    @property
    def lines(self) -> list[str]:
        return [problem.reason for problem in self._problems.values()]

    @property
    def facts(self) -> dict[str, dict[str, int]]:
        """How many files have each value of each fact."""
        counts: dict[str, Counter[str]] = {}
        for facts in self._facts.values():
            for name, value in facts.items():
                counts.setdefault(name, Counter())[value] += 1
        return {name: dict(sorted(counter.items())) for name, counter in counts.items()}
