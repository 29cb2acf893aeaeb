"""The commands `data inspect | convert | synthesise`: for whoever holds motion data, or makes some up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console

from client.synthesise import synthesise
from common.errors import FedmotionError, InputError

if TYPE_CHECKING:
    from client.datasets import DataSet

Where = Annotated[
    Path, typer.Argument(metavar="PATH", help="Folder of motions or sensor tables, or a sensors.toml.")
]
DataFormat = Annotated[
    str | None,
    typer.Option(help="Which of its formats PATH means: bvh, humanml3d, amass, npy, c3d, sensors or idx."),
]
PersonPattern = Annotated[
    str | None, typer.Option(help="Regular expression with (?P<person>...), searched in each file's path.")
]
ManifestFile = Annotated[
    Path | None, typer.Option(help="CSV with columns file (or clip, motion), person, label and caption.")
]
Labels = Annotated[str | None, typer.Option(help="The declared vocabulary of labels, as walk,run,jump.")]
Joints = Annotated[
    Path | None, typer.Option(help="TOML from our 22 joints to those of the BVH or C3D files.")
]
Split = Annotated[str | None, typer.Option(help="List of motions of a HumanML3D folder, as train.")]
Rate = Annotated[float | None, typer.Option(help="Frames or samples a second of files that do not say it.")]
SensorDevice = Annotated[str, typer.Option(help="sw the watch or sp the phone, of the SP-SW-HAR layout.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable files out, and say how many.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

data = typer.Typer(
    help="Look at motion data in any format, convert them, or make some up; nothing leaves the machine.",
    no_args_is_help=True,
    add_completion=False,
)
data.command()(synthesise)


class ProblemsError(FedmotionError):
    """Some files cannot be used (exit code 1)."""


@data.command()
def inspect(
    path: Where,
    people: Annotated[bool, typer.Option("--people", help="Also list everybody by name.")] = False,
    files: Annotated[bool, typer.Option("--files", help="Name each file with a problem, and why.")] = False,
    data_format: DataFormat = None,
    person_pattern: PersonPattern = None,
    manifest: ManifestFile = None,
    labels: Labels = None,
    joints: Joints = None,
    split: Split = None,
    rate: Rate = None,
    sensor_device: SensorDevice = "sw",
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Say what PATH holds: people, motions, seconds, rates, labels and problems.

    Every file is read, and one that cannot be used does not hide the others. No person and no
    file is named unless --people or --files asks for it. Exit code 1 says that files cannot be
    used; with --skip-bad, which would leave them out, it is 0.
    """
    from client.inspection import inspect_data

    found = inspect_data(
        _open(path, data_format, person_pattern, manifest, labels, joints, split, rate, sensor_device, True),
        people=people,
        files=files,
    )
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        _tell(found)
    if found["left_out"] and not skip_bad:
        named = "" if files else " (--files says which and why)"
        raise ProblemsError(
            f"{path}: {found['left_out']} files cannot be used{named}; mend them, or pass --skip-bad where"
            " they are used"
        )


@data.command()
def convert(
    path: Where,
    to: Annotated[str, typer.Option(help="Format to write, such as bvh or npy; csv for sensors.")],
    out: Annotated[Path, typer.Option(help="New folder for the files and their manifest.csv.")],
    data_format: DataFormat = None,
    person_pattern: PersonPattern = None,
    manifest: ManifestFile = None,
    labels: Labels = None,
    joints: Joints = None,
    split: Split = None,
    rate: Rate = None,
    sensor_device: SensorDevice = "sw",
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Write the motions of PATH in another format, 20 fps and 22 joints, with a manifest of who is who.

    The new folder is read back with the same people, labels and captions. Sensor tables are cut
    into runs of one label at 50 Hz, in m/s^2 and rad/s.
    """
    from client.conversion import convert_data

    opened = _open(
        path, data_format, person_pattern, manifest, labels, joints, split, rate, sensor_device, skip_bad
    )
    found = convert_data(opened, to, out)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    tell = _teller()
    held = f"{found['motions']} motions of {found['people']} people in {out}"
    if to == "html":
        tell(f"{held}: {out / 'index.html'} shows the recordings of people, as they are: it is not a release")
    else:
        tell(f"{held}, named in {out / 'manifest.csv'}")
    for line in found["skipped"]:
        tell(f"not used: {line}")


def _open(
    path: Path,
    data_format: str | None,
    person_pattern: str | None,
    manifest: Path | None,
    labels: str | None,
    joints: Path | None,
    split: str | None,
    rate: float | None,
    sensor_device: str,
    skip_bad: bool,
) -> DataSet:
    from client.datasets import DataOptions, open_data_set

    words = None if labels is None else tuple(word.strip() for word in labels.split(",") if word.strip())
    options = DataOptions(
        person_pattern=person_pattern,
        manifest=None if manifest is None else str(manifest),
        labels=words,
        device=_one_of(sensor_device, "--sensor-device", ("sw", "sp")),
        skip_bad=skip_bad,
        format=None if data_format is None else _one_of(data_format, "--data-format", _formats()),
        joints=None if joints is None else str(joints),
        split=split,
        rate=rate,
    )
    return open_data_set(path, options)


def _formats() -> tuple[str, ...]:
    from client.datasets import Format

    return get_args(Format)


def _one_of(value: str, flag: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise InputError(f"{flag} {value}: choose from {', '.join(known)}")
    return value


def _tell(found: dict[str, Any]) -> None:
    tell, modality = _teller(), found["modality"]
    if modality["kind"] == "image":
        tell(f"{found['origin']}: images of {modality['window']} x {len(modality['channels'])} pixels")
        tell(f"{found['motions']} images; nothing says whose they are: each is a unit (--unit record)")
        _tell_labels(found, "images")
        return
    unit = "m" if modality["kind"] == "skeleton" else ", ".join(modality["channels"])
    tell(f"{found['origin']}: {modality['kind']} at {modality['rate']:g} a second ({unit})")
    who = "people unknown" if not found["user_level"] else f"{found['people']} people"
    tell(
        f"{who}, {found['motions']} motions, {found['seconds']:.1f} s, {found['windows']} windows of"
        f" {modality['window'] / modality['rate']:g} s"
    )
    if found["people_without_motions"]:
        tell(f"{found['people_without_motions']} more people without a motion that can be used")
    if not found["user_level"]:
        tell("nothing says who moves: only single motions can be protected (--unit record)")
    _tell_labels(found, "motions")
    if found["captions"]:
        tell(f"captions: {found['captions']}")
    for name, values in found["files"].items():
        tell(f"{name}: " + ", ".join(f"{value} ({count} files)" for value, count in values.items()))
    for person, own in found.get("persons", {}).items():
        tell(f"person {person}: {own['motions']} motions, {own['seconds']:.1f} s, {own['windows']} windows")
    for problem in found["problems"]:
        tell(_problem(problem))


def _tell_labels(found: dict[str, Any], what: str) -> None:
    named = ", ".join(f"{label} {count}" for label, count in found["labels"].items())
    without = f"; {found['unlabelled']} {what} without" if named and found["unlabelled"] else ""
    _teller()(f"labels: {named or 'none'}{without}")


def _problem(problem: dict[str, Any]) -> str:
    what = "left out" if problem["left_out"] else "note"
    if "count" in problem:
        return f"{what}: {problem['kind']} ({problem['count']})"
    return f"{what}: {problem['reason']}"


def _teller() -> Any:
    console = Console(highlight=False)
    return lambda line: console.print(line, markup=False, soft_wrap=True)
