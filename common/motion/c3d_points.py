"""The 3D points of a C3D file (c3d.org, format of 2008): header, parameters, markers.

Our own small reader: ezc3d ends the whole process on files that are damaged.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError

Floats = NDArray[np.float64]

_BLOCK: Final = 512
_KEY: Final = 0x50
_INTEL, _DEC, _MIPS = 84, 85, 86
_LARGEST: Final = 2 << 30  # bytes
_TYPES: Final = {-1: "S1", 1: "i1", 2: "i2", 4: "f4"}


@dataclass(frozen=True, eq=False)
class Points:
    """Marker names and positions `[frames, markers, 3]` in the file's unit; NaN where one is unseen."""

    names: tuple[str, ...]
    positions: Floats
    rate: float
    unit: str


@dataclass(frozen=True)
class _Layout:
    points: int
    analog: int
    frames: int
    scale: float
    start: int
    rate: float


def read_points(path: Path) -> Points:
    """Read the markers of `path`; InputError on a file that is damaged, truncated or holds no markers."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: over {_LARGEST >> 30} GiB are no one motion; cut the recording")
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return _points(path, data)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a readable C3D file ({error}); export it again") from None


def _points(path: Path, data: bytes) -> Points:
    if len(data) < 2 * _BLOCK or data[1] != _KEY:
        raise InputError(f"{path}: not a C3D file; export it again")
    section = (data[0] - 1) * _BLOCK
    processor = data[section + 3]
    if processor not in (_INTEL, _DEC, _MIPS):
        raise ValueError(f"unknown processor type {processor}")
    order = ">" if processor == _MIPS else "<"
    parameters = _parameters(data, section, order, processor)
    layout = _layout(data, parameters, order, processor)
    names = _labels(parameters, layout.points)
    if not names or layout.frames < 1:
        raise InputError(f"{path}: {len(names)} markers in {layout.frames} frames are no motion")
    values = _values(path, data, layout, order, processor)
    positions = values[:, :, :3].copy()
    positions[~(values[:, :, 3] >= 0)] = np.nan
    unit = str(next(iter(_texts(parameters.get("POINT:UNITS"))), "")).strip()
    return Points(names, positions[:, : len(names)], layout.rate, unit)


def _parameters(data: bytes, section: int, order: str, processor: int) -> dict[str, Any]:
    """Arrays by `GROUP:NAME`, in upper case."""
    groups: dict[int, str] = {}
    found: dict[tuple[int, str], Any] = {}
    at, end = section + 4, min(len(data), section + data[section + 2] * _BLOCK)
    while at + 4 < end and data[at] != 0:
        length, group = abs(struct.unpack_from("b", data, at)[0]), struct.unpack_from("b", data, at + 1)[0]
        name = data[at + 2 : at + 2 + length].decode("latin-1").strip().upper()
        at += 2 + length
        (step,) = struct.unpack_from(f"{order}H", data, at)
        if group < 0:
            groups[-group] = name
        else:
            found[group, name] = _parameter(data, at + 2, order, processor)
        if step == 0:
            break
        at += step
    return {f"{groups.get(group, '')}:{name}": value for (group, name), value in found.items()}


def _parameter(data: bytes, at: int, order: str, processor: int) -> Any:
    kind, rank = struct.unpack_from("bB", data, at)
    if kind not in _TYPES:
        raise ValueError(f"unknown type {kind} of a parameter")
    dims = tuple(data[at + 2 : at + 2 + rank])
    count, start = int(np.prod(dims)) if rank else 1, at + 2 + rank
    raw = data[start : start + count * abs(kind)]
    if len(raw) < count * abs(kind):
        raise ValueError("a parameter is cut off")
    if kind == 4:
        return _floats(raw, order, processor)
    values = np.frombuffer(raw, _TYPES[kind] if abs(kind) == 1 else f"{order}{_TYPES[kind]}")
    return values if kind != -1 else values.reshape(dims[::-1]) if rank else values


def _layout(data: bytes, parameters: dict[str, Any], order: str, processor: int) -> _Layout:
    points, analog, first, last = struct.unpack_from(f"{order}4H", data, 2)
    scale = float(_floats(data[12:16], order, processor)[0])
    (start,) = struct.unpack_from(f"{order}H", data, 16)
    rate = float(_floats(data[20:24], order, processor)[0])
    frames = last - first + 1
    if (declared := _number(parameters.get("POINT:FRAMES"))) is not None and declared > frames:
        frames = declared
    begin, end = (_wide(parameters.get(f"TRIAL:ACTUAL_{word}_FIELD"), order) for word in ("START", "END"))
    if begin is not None and end is not None and end - begin + 1 > frames:
        frames = end - begin + 1
    stated = parameters.get("POINT:RATE")
    if stated is not None and stated.dtype.kind == "f" and stated.size and stated.flat[0] > 0:
        rate = float(stated.flat[0])
    return _Layout(points, analog, frames, scale, (start - 1) * _BLOCK, rate)


def _values(path: Path, data: bytes, layout: _Layout, order: str, processor: int) -> Floats:
    """x, y, z and residual of each marker, `[frames, markers, 4]`."""
    width, row = 4 if layout.scale < 0 else 2, 4 * layout.points + layout.analog
    wanted = layout.frames * row * width
    raw = data[layout.start : layout.start + wanted] if layout.start >= _BLOCK else b""
    if len(raw) < wanted:
        raise InputError(
            f"{path}: truncated: {len(raw) // (row * width)} of {layout.frames} frames are there;"
            " export it again"
        )
    values = _floats(raw, order, processor) if width == 4 else np.frombuffer(raw, f"{order}i2")
    table = values.reshape(layout.frames, row)[:, : 4 * layout.points].astype(np.float64)
    table = table.reshape(layout.frames, layout.points, 4)
    if width == 2:
        table[:, :, :3] *= abs(layout.scale)
    return table


def _labels(parameters: dict[str, Any], count: int) -> tuple[str, ...]:
    names = list(_texts(parameters.get("POINT:LABELS")))
    more = 2
    while f"POINT:LABELS{more}" in parameters:
        names += _texts(parameters[f"POINT:LABELS{more}"])
        more += 1
    return tuple(names[:count])


def _texts(value: Any) -> list[str]:
    if value is None or value.dtype.kind != "S" or value.size == 0:
        return []
    return [b"".join(row.tolist()).decode("latin-1").strip() for row in np.atleast_2d(value)]


def _number(value: Any) -> int | None:
    if value is None or value.dtype.kind not in "if" or value.size == 0:
        return None
    number = float(value.flat[0])
    return int(number) % 65536 if value.dtype.kind == "i" else int(number)


def _wide(value: Any, order: str) -> int | None:
    """A frame number in two words of 16 bit, the low one first."""
    if value is None or value.dtype.kind != "i" or value.size < 2:
        return None
    return int(value.flat[0]) % 65536 + 65536 * (int(value.flat[1]) % 65536)


def _floats(raw: bytes, order: str, processor: int) -> NDArray[np.float32]:
    """Single-precision numbers; those of a DEC have their words swapped and a bias that is two greater."""
    if processor != _DEC:
        return np.frombuffer(raw, f"{order}f4")
    words = np.frombuffer(raw, "<u2").reshape(-1, 2)[:, ::-1]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.ascontiguousarray(words).view("<f4")[:, 0] / 4, np.float32)
