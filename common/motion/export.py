"""Generated motions as files: one file for each motion."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import InputError
from common.motion.bvh import write_bvh
from common.motion.recording import SKELETON, Modality
from common.motion.sensors import SENSOR
from common.motion.skeleton import JOINTS
from common.player.gallery import PAGE, exhibits, write_page

MotionFormat = Literal["bvh", "npy", "csv", "html"]
FORMATS: Final[dict[str, tuple[MotionFormat, ...]]] = {
    "skeleton": ("bvh", "npy", "html"),
    "sensor": ("csv", "npy", "html"),
}
"""What each kind of motion can be written as; the first is the usual one."""


def write_motions(
    samples: Sequence[ArrayLike],
    out_dir: Path,
    format: str,
    names: Sequence[str],
    modality: Modality | None = None,
) -> list[Path]:
    """Write `samples[i]` to `out_dir/names[i].FORMAT` and return the paths, in order.

    Skeletons are `[frames, 22, 3]` metres: `bvh` (constant bone lengths, see
    `common.motion.bvh.write_bvh`) or `npy`. Sensor windows are `[frames, channels]` in
    physical units: `csv` with a column `time` in seconds, or `npy`. Either: `html`, one
    page of all (`common.player.gallery.write_page`). Arrays are float32. Without
    `modality` the shape tells `SKELETON` or `SENSOR`. Raises InputError on a format that
    does not fit the modality.
    """
    modality = modality or (SENSOR if samples and np.ndim(samples[0]) == 2 else SKELETON)
    if format not in FORMATS[modality.kind]:
        fitting = " or ".join(FORMATS[modality.kind])
        raise InputError(f"--format {format}: {modality.kind} motions are written as {fitting}")
    arrays = [_checked(np.asarray(sample, np.float32), modality) for sample in samples]
    out_dir.mkdir(parents=True, exist_ok=True)
    if format == "html":
        items = exhibits(arrays, modality, "motions", names)
        return [write_page(items, out_dir / PAGE, f"{len(arrays)} motions", rate=modality.rate)]
    paths = [out_dir / f"{name}.{format}" for name in names]
    for array, path in zip(arrays, paths, strict=True):
        if format == "bvh":
            write_bvh(path, array, modality.rate)
        elif format == "npy":
            np.save(path, array, allow_pickle=False)
        else:
            _write_csv(path, array, modality)
    return paths


def _checked(array: NDArray[np.float32], modality: Modality) -> NDArray[np.float32]:
    shape = (JOINTS, 3) if modality.kind == "skeleton" else (len(modality.channels),)
    if array.shape[1:] != shape or len(array) == 0:
        raise ValueError(f"expected a motion [frames, {', '.join(map(str, shape))}], got {array.shape}")
    return array


def _write_csv(path: Path, array: NDArray[np.float32], modality: Modality) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["time", *modality.channels])
        for frame, row in enumerate(array):
            writer.writerow([f"{frame / modality.rate:.4f}", *(f"{value:.6g}" for value in row)])
