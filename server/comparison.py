"""Recordings that the user names, to be seen beside generated motions on a page."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.bvh import SUFFIXES, read_bvh
from common.motion.export import csv_header
from common.motion.kinematics import place
from common.motion.recording import Modality, what_of
from common.motion.skeleton import JOINTS

Array = NDArray[np.float32]

_MOST_OF_A_FILE: Final = 1024  # motions of one array that are looked at
_RATE_TOLERANCE: Final = 0.02


class Recorded(NamedTuple):
    """One motion of a file: `samples` as `Recording.samples`, and the file's name."""

    title: str
    samples: Array


def read_recorded(path: Path, modality: Modality, most: int) -> tuple[list[Recorded], int]:
    """The first `most` motions of a file or folder, and how many files and motions were left out.

    A folder's files are taken by name, without its subfolders. Skeletons: BVH
    (`common.motion.bvh`) or npy `[frames, 22, 3]` or `[n, frames, 22, 3]`, metres, Y up, 20 fps.
    Images: npy `[rows, columns]` or `[n, rows, columns]`, 0..1. Sensors: csv as
    `generate` writes it, or npy `[frames, channels]` or `[n, frames, channels]`, at the run's rate. Raises
    InputError naming the file that does not fit.
    """
    readers = READERS[modality.kind]
    if not path.exists():
        raise InputError(f"--compare {path}: no such file or folder")
    files = [(file, suffix) for file in _listed(path) for suffix in readers if _ends(file, suffix)]
    if not files:
        raise InputError(f"--compare {path}: no {what_of(modality)} here (expected {', '.join(readers)})")
    found: list[Recorded] = []
    taken = 0
    while taken < len(files) and len(found) < most:
        file, suffix = files[taken]
        motions = [_checked(file, motion, modality) for motion in readers[suffix](file, modality)]
        name = file.name[: -len(suffix)]
        titles = [name] if len(motions) == 1 else [f"{name} {k + 1}" for k in range(len(motions))]
        found += [Recorded(*pair) for pair in zip(titles, motions, strict=True)]
        taken += 1
    return found[:most], max(len(found) - most, 0) + len(files) - taken


def _listed(path: Path) -> list[Path]:
    try:
        return (
            sorted(f for f in path.iterdir() if f.is_file() and f.name not in TABLES)
            if path.is_dir()
            else [path]
        )
    except OSError as error:
        raise InputError(f"--compare {path}: cannot be read ({error.strerror})") from None


def _ends(file: Path, suffix: str) -> bool:
    return file.name.lower().endswith(suffix) and not file.name.startswith(".")


def _checked(file: Path, motion: Array, modality: Modality) -> Array:
    tail = (JOINTS, 3) if modality.kind == "skeleton" else (len(modality.channels),)
    if motion.shape[1:] != tail or len(motion) < 2:
        expected = ", ".join(map(str, ("frames", *tail)))
        raise InputError(f"{file}: holds a motion of shape {motion.shape}; expected [{expected}]")
    if not np.isfinite(motion).all():
        raise InputError(f"{file}: holds a value that is not finite")
    return place(motion).astype(np.float32) if modality.kind == "skeleton" else motion


def _from_bvh(file: Path, modality: Modality) -> list[Array]:
    return [read_bvh(file).joints]


def _from_npy(file: Path, modality: Modality) -> list[Array]:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file}: not a readable npy file ({str(error).splitlines()[0]})") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{file}: holds {array.dtype}, expected numbers")
    several = array.ndim == (4 if modality.kind == "skeleton" else 3)
    return [np.array(motion, np.float32) for motion in (array[:_MOST_OF_A_FILE] if several else [array])]


def _from_csv(file: Path, modality: Modality) -> list[Array]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        values = np.array(rows[1:], np.float64)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{file}: not a readable csv file ({str(error).splitlines()[0]})") from None
    head = ["time", *modality.channels]
    if not rows or rows[0] not in (csv_header(modality), head) or values.ndim != 2:
        raise InputError(f"{file}: expected the columns {', '.join(head)}")
    step = float(np.median(np.diff(values[:, 0]))) if len(values) > 1 else 0.0
    if not abs(step * modality.rate - 1.0) < _RATE_TOLERANCE:
        raise InputError(f"{file}: a row every {step:.4g} s, expected {modality.rate:g} a second")
    return [values[:, 1:].astype(np.float32)]


TABLES: Final = ("manifest.csv", "traits.csv")
"""What `data convert` and `data synthesise` write beside the motions."""
Reader = Callable[[Path, Modality], list[Array]]
READERS: Final[dict[str, dict[str, Reader]]] = {
    "skeleton": {**dict.fromkeys(SUFFIXES, _from_bvh), ".npy": _from_npy},
    "sensor": {".csv": _from_csv, ".npy": _from_npy},
    "image": {".npy": _from_npy},
}
"""What reads the motions of a file with each ending, by kind of motion."""
