"""Generated motions as files: one file for each motion, or a folder in HumanML3D's layout."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import InputError
from common.motion.bvh import write_bvh
from common.motion.gltf import write_gltf
from common.motion.humanml3d import from_humanml3d, to_humanml3d
from common.motion.image import png
from common.motion.recording import SKELETON, Modality, what_of
from common.motion.sensors import SENSOR
from common.motion.skeleton import JOINTS
from common.player.gallery import PAGE, exhibits, write_page

MotionFormat = Literal["bvh", "gltf", "npy", "humanml3d", "csv", "png", "html"]
FORMATS: Final[dict[str, tuple[MotionFormat, ...]]] = {
    "skeleton": ("bvh", "gltf", "npy", "humanml3d", "html"),
    "sensor": ("csv", "npy", "html"),
    "image": ("png", "npy", "html"),
}
"""What each kind of motion can be written as; the first is the usual one."""
SUFFIXES: Final[dict[MotionFormat, str]] = {"gltf": "glb"}
"""File name suffixes that are not the format's own name."""

_NO_CAPTION: Final = "a person moves"


def write_motions(
    samples: Sequence[ArrayLike],
    out_dir: Path,
    format: str,
    names: Sequence[str],
    modality: Modality | None = None,
    *,
    captions: Sequence[Sequence[str]] | None = None,
    note: str | None = None,
) -> list[Path]:
    """Write `samples[i]` to `out_dir/names[i].SUFFIX` and return the paths, in order.

    Skeletons are `[frames, 22, 3]` metres: `bvh` or `gltf` (constant bone lengths, see
    `common.motion.bvh.write_bvh` and `common.motion.gltf.write_gltf`), `npy`, or
    `humanml3d`, a folder of at least two frames each, see `_write_humanml3d`. Sensor
    windows are `[frames, channels]` in physical units: `csv` with a column `time` in
    seconds, or `npy`. Images are `[rows, columns]` in 0..1: `png`, 8-bit grey, or `npy`. Any: `html`, one
    page of all (`common.player.gallery.write_page`).
    Arrays are float32. `captions[i]` are sentences about motion i and `note` a word about all
    of them, for the formats with a place for it. Without
    `modality` the shape tells `SKELETON` or `SENSOR`. Raises InputError on a format that
    does not fit the modality.
    """
    modality = modality or (SENSOR if samples and np.ndim(samples[0]) == 2 else SKELETON)
    chosen = next((known for known in FORMATS[modality.kind] if known == format), None)
    if chosen is None:
        fitting = " or ".join(FORMATS[modality.kind])
        raise InputError(f"--format {format}: {what_of(modality)} are written as {fitting}")
    arrays = [_checked(np.asarray(sample, np.float32), modality) for sample in samples]
    out_dir.mkdir(parents=True, exist_ok=True)
    if chosen == "humanml3d":
        return _write_humanml3d(arrays, out_dir, names, captions)
    if chosen == "html":
        what = "images" if modality.kind == "image" else "motions"
        items = exhibits(arrays, modality, what, names)
        return [write_page(items, out_dir / PAGE, f"{len(arrays)} {what}", rate=modality.rate)]
    paths = [out_dir / f"{name}.{SUFFIXES.get(chosen, chosen)}" for name in names]
    for array, path in zip(arrays, paths, strict=True):
        if chosen == "bvh":
            write_bvh(path, array, modality.rate)
        elif chosen == "gltf":
            write_gltf(path, array, modality.rate, note)
        elif chosen == "png":
            path.write_bytes(png(array))
        elif chosen == "npy":
            np.save(path, array, allow_pickle=False)
        else:
            _write_csv(path, array, modality)
    return paths


def _checked(array: NDArray[np.float32], modality: Modality) -> NDArray[np.float32]:
    shape = (JOINTS, 3) if modality.kind == "skeleton" else (len(modality.channels),)
    if array.shape[1:] != shape or len(array) == 0:
        raise ValueError(f"expected a motion [frames, {', '.join(map(str, shape))}], got {array.shape}")
    return array


def csv_header(modality: Modality) -> list[str]:
    """`time` and the channels, with the unit where the name says which: a file read again needs no guess."""
    units = {"acc": "m/s^2", "gyro": "rad/s"}
    stated = [(channel, units.get(channel.rpartition("_")[0])) for channel in modality.channels]
    return ["time", *(channel if unit is None else f"{channel} ({unit})" for channel, unit in stated)]


def _write_csv(path: Path, array: NDArray[np.float32], modality: Modality) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(csv_header(modality))
        for frame, row in enumerate(array):
            writer.writerow([f"{frame / modality.rate:.4f}", *(f"{value:.6g}" for value in row)])


def _write_humanml3d(
    arrays: Sequence[NDArray[np.float32]],
    out_dir: Path,
    names: Sequence[str],
    captions: Sequence[Sequence[str]] | None,
) -> list[Path]:
    """The layout that readers of HumanML3D know; returns the vectors' paths.

    `new_joint_vecs/NAME.npy` `[frames - 1, 263]` as the public code makes them, quirks
    included; `new_joints/NAME.npy` the joints they give back; `texts/NAME.txt` one line a
    caption: sentence, words with a tag, start and end (0.0 0.0: the whole motion), between
    `#`; `all.txt` the names, added to those of earlier calls. No tagger is run: every word is tagged OTHER.
    """
    folders = [out_dir / part for part in ("new_joint_vecs", "new_joints", "texts")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    vectors, joints, texts = folders
    paths = [vectors / f"{name}.npy" for name in names]
    sentences = captions if captions is not None else [()] * len(arrays)
    for array, path, lines in zip(arrays, paths, sentences, strict=True):
        vector = to_humanml3d(array, hml_compat=True)
        np.save(path, vector, allow_pickle=False)
        np.save(joints / path.name, from_humanml3d(vector), allow_pickle=False)
        text = "".join(map(_caption, lines or (_NO_CAPTION,)))
        (texts / f"{path.stem}.txt").write_text(text, encoding="utf-8")
    with (out_dir / "all.txt").open("a", encoding="utf-8") as stream:
        stream.writelines(f"{name}\n" for name in names)
    return paths


def _caption(sentence: str) -> str:
    plain = " ".join(sentence.replace("#", " ").split()) or _NO_CAPTION
    words = re.findall(r"[^\W_]+", plain.lower())
    return f"{plain}#{' '.join(f'{word}/OTHER' for word in words)}#0.0#0.0\n"
