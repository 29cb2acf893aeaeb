"""Motions of one data set written in another format, with a manifest of who is who."""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, Final

from client.datasets import DataSet
from client.datasets.manifest import CAPTION_COLUMN, CAPTION_MARK, RECORD_COLUMN, USUAL_NAME
from common.errors import InputError
from common.motion.export import FORMATS, write_motions
from common.motion.recording import Recording, what_of
from common.player.gallery import PAGE, PAGE_ITEMS, REAL, exhibits, write_page
from common.storage import writing

_COLUMNS: Final = ("file", "person", "label", CAPTION_COLUMN, RECORD_COLUMN, "source")


def convert_data(data: DataSet, format: str, out: Path) -> dict[str, Any]:
    """Write every recording of `data` to `out` as `format`, and manifest.csv beside them; a summary.

    A file is named after its person and a number; the manifest has the exact names, the labels,
    the captions and the recording's own name. Nothing stays in `out` where it
    fails. Raises InputError where `out` is not empty, the format does not fit, or a file cannot be used.
    """
    kind = data.modality.kind
    if format not in FORMATS[kind]:
        raise InputError(
            f"--to {format}: {what_of(data.modality)} are written as {' or '.join(FORMATS[kind])}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already and not an empty folder; choose another --out")
    known = data.unknown_people is None
    if format == "html":
        return _shown(data, out)
    there = out.exists()
    try:
        with writing(out):
            rows = _written(data, format, out, known)
    except BaseException:
        _clear(out, there)
        raise
    people = len({row["person"] for row in rows}) if known else 0
    return {
        "format": format,
        "out": str(out),
        "motions": len(rows),
        "people": people,
        "skipped": data.skipped,
    }


def _clear(out: Path, there: bool) -> None:
    """Take away half a data set; `there` says that the empty folder was."""
    for path in out.iterdir() if out.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if out.is_dir() and not there:
        out.rmdir()


def _written(data: DataSet, format: str, out: Path, known: bool) -> list[dict[str, str]]:
    """The files of all recordings and their manifest in `out`; the rows of the manifest."""
    numbers: Counter[str] = Counter()
    rows: list[dict[str, str]] = []
    for recording in data.recordings(data.people()):
        stem = _stem(recording.person)
        numbers[stem] += 1
        name, said = f"{stem}_{numbers[stem]:05d}", recording.captions or _named(recording.label)
        paths = write_motions([recording.samples], out, format, [name], data.modality, captions=[said])
        rows.append(_row(paths[0], out, recording, known))
    if not rows:
        raise _nothing(data)
    optional = ("label", CAPTION_COLUMN, RECORD_COLUMN)
    absent = {name for name in optional if not any(row[name] for row in rows)}
    if all(row[RECORD_COLUMN] == row["source"] for row in rows):
        absent.add(RECORD_COLUMN)  # every motion is its own record, as without the column
    _write_manifest(out / USUAL_NAME, [name for name in _COLUMNS if name not in absent], rows)
    return rows


def _shown(data: DataSet, out: Path) -> dict[str, Any]:
    """One page of the first motions, which says that they are recordings of people."""
    first = list(islice(data.recordings(data.people()), PAGE_ITEMS[data.modality.kind]))
    if not first:
        raise _nothing(data)
    names = [recording.name for recording in first]
    labels = [recording.label or "" for recording in first]
    captions = [CAPTION_MARK.join(recording.captions) for recording in first]
    motions = [recording.samples for recording in first]
    items = exhibits(motions, data.modality, REAL, names, labels, captions)
    with writing(out):
        what = "images" if data.modality.kind == "image" else "motions"
        write_page(items, out / PAGE, f"{len(first)} {what} of {data.origin}", rate=data.modality.rate)
    return {
        "format": "html",
        "out": str(out),
        "motions": len(first),
        "people": len({recording.person for recording in first}) if data.unknown_people is None else 0,
        "skipped": data.skipped,
    }


def _nothing(data: DataSet) -> InputError:
    return InputError(f"{data.origin}: no motion that can be used; see fedmotion data inspect --files")


def _named(label: str | None) -> tuple[str, ...]:
    return () if label is None else (label,)


def _stem(person: str) -> str:
    """`person` as a part of a file name in which the first `_` ends it."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", person).strip(".-") or "person"


def _row(path: Path, out: Path, recording: Recording, known: bool) -> dict[str, str]:
    return {
        "file": path.relative_to(out).as_posix(),
        "person": recording.person if known else "",
        "label": recording.label or "",
        CAPTION_COLUMN: CAPTION_MARK.join(
            sentence.replace(CAPTION_MARK, " ") for sentence in recording.captions
        ),
        RECORD_COLUMN: recording.record,
        "source": recording.name,
    }


def _write_manifest(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
