"""What a data set holds, in numbers; who is in it only where that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from client.datasets import DataSet, Problem
from common.motion.recording import Recording
from common.motion.windows import windows

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "numbers missing, infinite or absurd": ("NaN", "no finite number", "absurd", "over 6 hours", "lasts "),
    "truncated": ("truncated", "cut off", "declares", "end-of-stream", "End-of-stream"),
    "unreadable": ("readable", "cannot be read", "not a BVH", "not a C3D", "not an array", "holds no numbers",
                   "UTF-8"),
    "no motion in it": ("are no motion", "are no recording", "holds no frames", "no one motion"),
    "joints or markers missing": ("no joint for", "no marker", "which the file has not", "marker "),
    "another skeleton or shape": ("is none of", "KIT-ML", "no SMPL body", "does not fit", "subjects;"),
    "length or unit not believable": ("length unit", "no person's", "moves at", "is gravity in none",
                                      "may be rad/s", "fit no unit"),
    "no frame rate": ("frame rate",),
    "label unknown": ("declared vocabulary", "finds no label", "its vocabulary"),
    "person unknown": ("names no person", "no person in column", "finds no person", "has no row for"),
    "motion twice": ("is the same",),
    "columns missing or ragged": ("no column", "cells of the header", "two columns", "could be"),
    "time runs backwards": ("backwards",),
    "runs too short": ("under half a window",),
    "named, but not there": ("name no file", "have no motion"),
    "text not readable": ("sentence#tokens",),
    "no motions by their names": ("left aside", "are no motions"),
}  # fmt: skip
"""Kinds of problems, and words of the reasons that are of each; the first that fits."""
OTHER: Final = "other"


@dataclass
class _Sum:
    motions: int = 0
    seconds: float = 0.0
    windows: int = 0

    def told(self) -> dict[str, Any]:
        return {"motions": self.motions, "seconds": round(self.seconds, 2), "windows": self.windows}


def inspect_data(data: DataSet, people: bool, files: bool) -> dict[str, Any]:
    """Read all of `data` and count: people, motions, seconds, windows, labels, rates, problems.

    Nothing names a person or a file unless `people` or `files` asks for it. Motions count as
    the data set hands them over: a run of one label, for sensors.
    """
    modality, known = data.modality, data.unknown_people is None
    sums: dict[str, _Sum] = {person: _Sum() for person in data.people()}
    labels: Counter[str | None] = Counter(dict.fromkeys(data.labels, 0))
    captions = 0
    for recording in data.recordings(data.people()):
        _add(sums[recording.person], recording, data)
        labels[recording.label] += 1
        captions += len(recording.captions)
    unlabelled = labels.pop(None, 0)
    seen = [each for each in sums.values() if each.motions]
    problems = data.findings.problems
    shape = {"kind": modality.kind, "rate": modality.rate, "window": modality.window}
    found: dict[str, Any] = {
        "origin": data.origin,
        "modality": {**shape, "channels": list(modality.channels)},
        "people": len(seen) if known else None,
        "people_without_motions": len(sums) - len(seen) if known else None,
        "motions": sum(each.motions for each in seen),
        "seconds": round(sum(each.seconds for each in seen), 2),
        "windows": sum(each.windows for each in seen),
        "labels": {label: count for label, count in sorted(labels.items(), key=str)},
        "unlabelled": unlabelled,
        "captions": captions,
        "files": data.findings.facts,
        "user_level": known,
        "left_out": sum(problem.left_out for problem in problems),
        "problems": [vars(problem) for problem in problems] if files else counted(problems),
    }
    if people and known:
        found["persons"] = {person: each.told() for person, each in sums.items()}
    return found


def counted(problems: list[Problem]) -> list[dict[str, Any]]:
    """How often each kind of problem occurs: fixed words, so that no file, person or value is named."""
    kinds = Counter((kind(problem.reason), problem.left_out) for problem in problems)
    return [
        {"kind": name, "left_out": left_out, "count": count}
        for (name, left_out), count in sorted(kinds.items())
    ]


def kind(reason: str) -> str:
    """The kind of a problem, from the words that `KINDS` knows."""
    return next((name for name, words in KINDS.items() if any(word in reason for word in words)), OTHER)


def _add(total: _Sum, recording: Recording, data: DataSet) -> None:
    total.motions += 1
    total.seconds += 0.0 if data.modality.kind == "image" else len(recording.samples) / data.modality.rate
    total.windows += len(windows(recording.samples, data.modality))
