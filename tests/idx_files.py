"""Small idx files, as MNIST comes: squares whose place tells their class."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = 4


def idx(array: NDArray[np.uint8]) -> bytes:
    """The bytes of an idx file of unsigned bytes."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def squares(count: int, side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images `[count, side, side]` with a bright quarter, and which of the four it is."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count).astype(np.uint8)
    images = random.integers(0, 60, (count, side, side))
    half = side // 2
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += random.integers(120, 190)
    return images.astype(np.uint8), labels


def write_set(
    folder: Path, train: int = 400, test: int = 160, side: int = 16, *, packed: bool = True
) -> Path:
    """Four files in `folder`; no t10k ones where `test` is 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count, seed in (("train", train, 0), ("t10k", test, 1)):
        if count:
            images, labels = squares(count, side, seed)
            for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
                content = idx(array)
                path = folder / f"{part}-{name}"
                if packed:
                    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, mtime=0))
                else:
                    path.write_bytes(content)
    return folder
