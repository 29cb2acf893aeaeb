"""A folder of idx files, as MNIST and Fashion-MNIST come: grey images, nobody says whose."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client.datasets.base import DataOptions, Findings
from common.errors import InputError
from common.motion.image import LARGEST_SIDE, LEAST_SIDE, image_modality
from common.motion.recording import Recording

IMAGES: Final = "images-idx3-ubyte"
LABELS: Final = "labels-idx1-ubyte"
TRAIN, TEST = "train", "t10k"
DIGITS: Final = tuple("0123456789")
"""What the classes of a labels file are called unless `labels` names them, in their order."""
_BYTES: Final = 0x08  # the type code of unsigned bytes
_LARGEST: Final = 2**30  # bytes of pixels that are read


class IdxFolder:
    """The images of `train-images-idx3-ubyte` (or .gz), each a unit of its own.

    `train-labels-idx1-ubyte` has the class of each, where it is there; `options.labels` names the
    classes 0, 1, ... in their order. `held_out` are the images of the `t10k` files, who are in no
    training. An image is known by its place in the file alone.
    """

    def __init__(self, folder: Path, options: DataOptions) -> None:
        if options.manifest is not None or options.person_pattern is not None:
            raise InputError(f"{folder}: idx files have no manifest and no names of people: leave both out")
        self._folder = folder
        self._images = _Idx.open(_found(folder, f"{TRAIN}-{IMAGES}"), 3)
        self._classes = _classes(folder, TRAIN, self._images)
        self.modality = image_modality(*_side(self._images))
        self.labels = () if self._classes is None else options.labels or DIGITS
        self.origin = f"image folder {folder.resolve().name}"
        self.findings = Findings(options.skip_bad)
        self._people = tuple(f"image{number:07d}" for number in range(self._images.shape[0]))

    @property
    def skipped(self) -> list[str]:
        return self.findings.lines

    @property
    def unknown_people(self) -> str | None:
        return (
            f"{self._folder}: an idx file does not say whose image it is, so no person can be protected: each"
            " image is a unit of its own with --unit record"
        )

    def people(self) -> tuple[str, ...]:
        return self._people

    def column(self, name: str) -> dict[str, str]:
        raise InputError(f"{self._folder}: idx files have no manifest, so no column {name!r}; deal by hash")

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        wanted = people if isinstance(people, (set, frozenset)) else frozenset(people)
        return self._read(self._images, self._classes, self._people, wanted)

    def held_out(self) -> list[Recording]:
        """The images of the t10k files; none where the folder has no such files."""
        path = _maybe(self._folder, f"{TEST}-{IMAGES}")
        if path is None:
            return []
        images = _Idx.open(path, 3)
        if images.shape[1:] != self._images.shape[1:]:
            raise InputError(f"{path}: holds images of {images.sides}, and those in training have"
                             f" {self._images.sides}: give files that belong together")  # fmt: skip
        names = tuple(f"{TEST}{number:07d}" for number in range(images.shape[0]))
        return list(self._read(images, _classes(self._folder, TEST, images), names, frozenset(names)))

    def _read(
        self, images: _Idx, classes: _Idx | None, names: tuple[str, ...], wanted: Collection[str]
    ) -> Iterator[Recording]:
        pixels = images.values()
        labels = [None] * len(pixels) if classes is None else self._named(classes)
        for name, label, image in zip(names, labels, pixels, strict=True):
            if name in wanted:
                yield Recording(person=name, name=name, label=label, samples=image / np.float32(255))

    def _named(self, classes: _Idx) -> list[str | None]:
        values = classes.values()
        if len(values) and int(values.max()) >= len(self.labels):
            raise InputError(
                f"{classes.path}: class {int(values.max())} has no name: the declared vocabulary"
                f" {', '.join(self.labels)} ends before it; declare labels in the order of the classes"
            )
        return [self.labels[value] for value in values.tolist()]


def is_idx(folder: Path) -> bool:
    """Whether `folder` holds training images of this kind, told by the name."""
    return _maybe(folder, f"{TRAIN}-{IMAGES}") is not None


@dataclass(frozen=True)
class _Idx:
    """An idx file whose head is read and believed: unsigned bytes of `shape`."""

    path: Path
    shape: tuple[int, ...]

    @classmethod
    def open(cls, path: Path, axes: int) -> _Idx:
        """Read the head alone; InputError where it is none, or of something too large to be read."""
        head = _bytes(path, 4 + 4 * axes)
        if len(head) < 4 + 4 * axes:
            raise InputError(f"{path}: truncated: {len(head)} bytes are no head of an idx file")
        if head[:4] != bytes((0, 0, _BYTES, axes)):
            raise InputError(
                f"{path}: not an idx file of {'images' if axes == 3 else 'labels'}: it starts with"
                f" {head[:4].hex()}, expected {bytes((0, 0, _BYTES, axes)).hex()}"
            )
        shape = tuple(int(size) for size in np.frombuffer(head[4:], ">u4"))
        if int(np.prod(shape, dtype=object)) > _LARGEST:
            raise InputError(f"{path}: declares {' x '.join(map(str, shape))} bytes, more than {_LARGEST:,}")
        return cls(path, shape)

    @property
    def sides(self) -> str:
        return " x ".join(map(str, self.shape[1:]))

    def values(self) -> NDArray[np.uint8]:
        """All of it; InputError where the file holds less or more than its head declares."""
        head, size = 4 + 4 * len(self.shape), int(np.prod(self.shape))
        held = _bytes(self.path, head + size + 1)
        if len(held) != head + size:
            kind = "truncated" if len(held) < head + size else "longer than it says"
            found = f"holds {len(held) - head:,}" if len(held) < head + size else "goes on"
            raise InputError(f"{self.path}: {kind}: it declares {size:,} values and {found}")
        return np.frombuffer(held, np.uint8, offset=head).reshape(self.shape)


def _bytes(path: Path, most: int) -> bytes:
    """The first `most` bytes at most, unpacked where the file is packed."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return stream.read(most)
    except (EOFError, zlib.error):
        raise InputError(f"{path}: truncated: the packed file is cut off or damaged") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _classes(folder: Path, part: str, images: _Idx) -> _Idx | None:
    path = _maybe(folder, f"{part}-{LABELS}")
    if path is None:
        return None
    found = _Idx.open(path, 1)
    if found.shape[0] != images.shape[0]:
        raise InputError(
            f"{path}: declares {found.shape[0]:,} labels for {images.shape[0]:,} images: give files that"
            " belong together"
        )
    return found


def _side(images: _Idx) -> tuple[int, int]:
    _, rows, columns = images.shape
    if not (LEAST_SIDE <= rows <= LARGEST_SIDE and LEAST_SIDE <= columns <= LARGEST_SIDE):
        raise InputError(
            f"{images.path}: images of {images.sides} pixels: from {LEAST_SIDE} to {LARGEST_SIDE} a side are"
            " read"
        )
    return rows, columns


def _maybe(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _found(folder: Path, name: str) -> Path:
    path = _maybe(folder, name)
    if path is None:
        raise InputError(f"{folder}: no file {name} or {name}.gz; give the folder that holds it")
    return path
