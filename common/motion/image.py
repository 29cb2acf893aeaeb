"""Grey images as a modality: rows are frames, columns are channels, values lie in 0 (dark) to 1."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.motion.recording import Modality

LEAST_SIDE: Final = 8
LARGEST_SIDE: Final = 64
"""Pixels along a side of an image that is read."""

BRIGHTNESS: Final = 0.25
CONTRAST: Final = 0.3
"""Mean and deviation to expect of a pixel of something bright before darkness: guessed, fitted on nothing."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _DEPTH = 0, 8


def image_modality(rows: int, columns: int) -> Modality:
    """Images of `rows` x `columns` pixels; there is no time in them, and `rate` says 1."""
    return Modality(kind="image", rate=1.0, window=rows, channels=tuple(f"x{i:02d}" for i in range(columns)))


def png(image: NDArray[np.float32]) -> bytes:
    """`image` `[rows, columns]` in 0..1 as a PNG file of 8-bit grey (PNG specification, third edition)."""
    grey = np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
    rows, columns = grey.shape
    header = struct.pack(">IIBBBBB", columns, rows, _DEPTH, _GREY, 0, 0, 0)
    unfiltered = b"".join(b"\0" + row.tobytes() for row in grey)
    return _SIGNATURE + b"".join(
        _chunk(*part) for part in ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered, 9)), (b"IEND", b""))
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
