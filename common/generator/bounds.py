"""What a codec's description may say: a site builds the codec that a server names.

Sizes are checked before anything is allocated; a value outside its bounds is an InputError that
names the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from common.errors import InputError
from common.motion.recording import Modality

MOST_SKELETON_FRAMES: Final = 512
"""Frames of a skeleton window: 25 seconds."""
MOST_FRAMES: Final = 4096
"""Frames of a window: the longest that a table of sensors may declare."""
MOST_CHANNELS: Final = 64
MOST_LATENT: Final = 2**14
"""Numbers in a latent: 196 frames of 67 features are 13,132."""
_MOST_LABELS: Final = 1024
_LONGEST_TEXT: Final = 400


def integer(fields: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"the codec's {name} is {value!r:.40}: it must be an integer from {low} to {high}")
    return value


def number(fields: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value: Any = fields.get(name)
    if type(value) not in (int, float) or not low <= value <= high:  # NaN is not
        raise InputError(f"the codec's {name} is {value!r:.40}: it must be a number from {low:g} to {high:g}")
    return float(value)


def text(fields: Mapping[str, Any], name: str) -> str | None:
    """A short text or None."""
    value = fields.get(name)
    if value is not None and (type(value) is not str or len(value) > _LONGEST_TEXT):
        raise InputError(f"the codec's {name} must be a text of at most {_LONGEST_TEXT} characters")
    return value


def texts(fields: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    value = fields.get(name)
    if not isinstance(value, list | tuple) or len(value) > most:
        raise InputError(f"the codec's {name} must be a list of at most {most} texts")
    if any(type(item) is not str or len(item) > _LONGEST_TEXT for item in value):
        raise InputError(f"the codec's {name} must hold texts of at most {_LONGEST_TEXT} characters")
    return tuple(value)


def table(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"the codec's {name} is {value!r:.40}: it must be a table")
    return value


def labels(fields: Mapping[str, Any]) -> tuple[str, ...]:
    return texts(fields, "labels", _MOST_LABELS)


def modality(fields: Mapping[str, Any]) -> Modality:
    """The modality as `modality_description` wrote it."""
    inner = fields.get("modality")
    if not isinstance(inner, Mapping) or inner.get("kind") not in ("skeleton", "sensor", "image"):
        raise InputError("the codec's modality is neither a skeleton nor a sensor nor an image")
    most = MOST_SKELETON_FRAMES if inner["kind"] == "skeleton" else MOST_FRAMES
    return Modality(
        kind=inner["kind"],
        rate=number(inner, "rate", 0.1, 10_000),
        window=integer(inner, "window", 2, most),
        channels=texts(inner, "channels", MOST_CHANNELS),
    )


def tensor(arrays: Mapping[str, Tensor], name: str, *shape: int) -> Tensor:
    """The array `name`, float32, finite and of `shape`."""
    value = arrays.get(name)
    if value is None or tuple(value.shape) != shape or value.dtype != torch.float32:
        found = "missing" if value is None else f"{value.dtype} {tuple(value.shape)}"
        raise InputError(f"the codec's array {name} is {found}: expected float32 {shape}")
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"the codec's array {name} holds numbers that are not finite")
    return value


def positive(value: Tensor, name: str) -> Tensor:
    if not bool((value > 0).all()):
        raise InputError(f"the codec's array {name} must be above zero")
    return value
