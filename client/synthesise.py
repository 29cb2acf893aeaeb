"""The command `data synthesise`: procedural people as files, with the ground truth behind them."""

from __future__ import annotations

import csv
import heapq
import itertools
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

from client.position import borders, position
from common.errors import InputError
from common.motion.export import FORMATS, write_motions
from common.motion.heterogeneity import STRONGEST, at_site
from common.motion.people import ACTIONS, Population, traits
from common.motion.population import POPULATIONS
from common.motion.population import synthesise as perform
from common.motion.recording import SKELETON, Modality, Recording
from common.motion.sensors import SENSOR
from common.motion.virtual_sensors import MOUNTS, RATE, sense
from common.storage import writing

MANIFEST, TRAITS = "manifest.csv", "traits.csv"
SHORTEST: Final = 61
"""Frames at 20 a second that every action takes to be done."""
_AT_ONCE = 64
_MOST_PEOPLE, _MOST_MOTIONS, _MOST_FRAMES, _MOST_SITES = 1_000_000, 1000, 100_000, 100


def synthesise(
    out: Annotated[Path, typer.Option(help="A new or empty folder for the motions and their tables.")],
    people: Annotated[int, typer.Option(min=1, max=_MOST_PEOPLE, help="How many people.")] = 100,
    motions: Annotated[int, typer.Option(min=1, max=_MOST_MOTIONS, help="Motions of each of them.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same people.")] = 0,
    population: Annotated[str, typer.Option(help=f"Who they are: {', '.join(POPULATIONS)}.")] = "private",
    actions: Annotated[
        str | None,
        typer.Option(help=f"What they do, separated by commas, of: {', '.join(ACTIONS)}; or: all."),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="File format, the first that fits the motions by default.")
    ] = None,
    frames: Annotated[
        int, typer.Option(min=SHORTEST, max=_MOST_FRAMES, help="Length of a motion at 20 frames a second.")
    ] = SHORTEST,
    sensors: Annotated[
        str | None, typer.Option(help=f"What a worn device records instead: {', '.join(MOUNTS)}.")
    ] = None,
    sites: Annotated[
        int, typer.Option(min=1, max=_MOST_SITES, help="Sites that a hash of the person deals people to.")
    ] = 8,
    heterogeneity: Annotated[
        float, typer.Option(min=0.0, max=STRONGEST, help="How much the sites differ; 0: not at all.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Make synthetic people's motions, a manifest.csv with labels and captions, and the true traits."""
    chosen = _population(population, actions)
    modality = SKELETON if sensors is None else SENSOR
    format = format or FORMATS[modality.kind][0]
    _check(out, format, sensors, modality)
    crowd = _Crowd(chosen, seed, people, sites, heterogeneity)
    recordings = crowd.recordings(motions, frames, sensors)
    console = Console(stderr=True)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as progress:
        shown = progress.track(recordings, total=people * motions, description="making motions")
        _write(shown, crowd, out, format, modality)
    _write_traits(crowd, out / TRAITS)
    if as_json:
        made = {"format": format, "out": str(out), "motions": people * motions, "people": people}
        print(json.dumps(made, indent=2))
        return
    console.print(
        f"{people * motions} motions of {people} people in {out}; {MANIFEST} says who does what,"
        f" {TRAITS} who they are",
        markup=False,
        soft_wrap=True,
    )


def _population(name: str, actions: str | None) -> Population:
    if name not in POPULATIONS:
        raise InputError(f"--population {name}: choose from {', '.join(POPULATIONS)}")
    chosen = POPULATIONS[name]
    if actions is None:
        return chosen
    said = (
        ACTIONS if actions.strip() == "all" else tuple(dict.fromkeys(a.strip() for a in actions.split(",")))
    )
    if unknown := [action for action in said if action not in ACTIONS]:
        raise InputError(f"--actions {unknown[0]!r}: choose from {', '.join(ACTIONS)}, or all")
    # Walking comes first, as a person's first motion is a walk.
    return replace(chosen, actions=tuple(action for action in ACTIONS if action in said))


def _check(out: Path, format: str, sensors: str | None, modality: Modality) -> None:
    if sensors is not None and sensors not in MOUNTS:
        raise InputError(f"--sensors {sensors}: choose from {', '.join(MOUNTS)}")
    known = [name for name in FORMATS[modality.kind] if name != "html"]  # one page for all is no corpus
    if format not in known:
        fitting = " or ".join(known)
        raise InputError(f"--format {format}: {modality.kind} motions are written as {fitting}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: choose another --out")


class _Crowd:
    """People at their sites; without heterogeneity the sites are names only."""

    def __init__(
        self, population: Population, seed: int, people: int, sites: int, heterogeneity: float
    ) -> None:
        self._seed = seed
        ends = borders((1.0,) * sites, 0.0, 1.0)
        self.site = [bisect_right(ends, position(f"p{index:06d}", seed)) for index in range(people)]
        if heterogeneity == 0:
            self.groups: list[tuple[Population, list[int]]] = [(population, list(range(people)))]
            return
        members: dict[int, list[int]] = {}
        for index, site in enumerate(self.site):
            members.setdefault(site, []).append(index)
        self.groups = [(at_site(population, heterogeneity, seed, s), own) for s, own in members.items()]

    def recordings(self, motions: int, frames: int, sensors: str | None) -> Iterator[Recording]:
        """Everybody's motions, in the order of the people."""
        made = (self._group(population, own, motions, frames, sensors) for population, own in self.groups)
        return heapq.merge(*made, key=lambda recording: recording.person)

    def _group(
        self, population: Population, indices: list[int], motions: int, frames: int, sensors: str | None
    ) -> Iterator[Recording]:
        mount = next((mount for mount in MOUNTS if mount == sensors), None)
        if mount is None:
            return perform(population, self._seed, indices, motions, frames)
        # As long as `frames` at 20 a second; the ends go into the derivatives.
        length = round((frames - 1) / SKELETON.rate * RATE) + 3
        return sense(population, self._seed, indices, mount, motions, length)

    def traits(self) -> list[dict[str, object]]:
        """A row of ground truth for each person, in their order."""
        rows = []
        for population, indices in self.groups:
            table = traits(population, self._seed, indices)
            columns = [column.tolist() for column in table.values()]
            rows += [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]
        return sorted(rows, key=lambda row: str(row["person"]))


def _site_name(number: int) -> str:
    return f"site-{number + 1:02d}"


def _write(
    recordings: Iterable[Recording], crowd: _Crowd, out: Path, format: str, modality: Modality
) -> None:
    """Files some at a time, so that memory does not grow with the people, and a row for each."""
    with writing(out / MANIFEST), (out / MANIFEST).open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["file", "person", "label", "caption", "site"])
        stock = iter(recordings)
        while batch := list(itertools.islice(stock, _AT_ONCE)):
            motions, names = [r.samples for r in batch], [r.name for r in batch]
            said = [r.captions for r in batch]
            paths = write_motions(motions, out, format, names, modality, captions=said)
            for path, recording in zip(paths, batch, strict=True):
                site = _site_name(crowd.site[int(recording.person[1:])])
                file = path.relative_to(out).as_posix()
                rows.writerow([file, recording.person, recording.label, " | ".join(recording.captions), site])


def _write_traits(crowd: _Crowd, path: Path) -> None:
    table = crowd.traits()
    with writing(path), path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow([*table[0], "site"])
        for row, site in zip(table, crowd.site, strict=True):
            cells = [f"{value:.6g}" if isinstance(value, float) else value for value in row.values()]
            rows.writerow([*cells, _site_name(site)])
