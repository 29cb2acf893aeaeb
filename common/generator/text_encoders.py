"""All text encoders by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import Tensor

from common.errors import InputError
from common.generator.minilm_text import MiniLMEncoder
from common.generator.template_text import TemplateEncoder
from common.generator.text import SIZES, TextEncoder

_ENCODERS: Final[Mapping[str, type[TemplateEncoder | MiniLMEncoder]]] = {
    TemplateEncoder.kind: TemplateEncoder,
    MiniLMEncoder.kind: MiniLMEncoder,
}


def make_text(kind: str, size: int, labels: Sequence[str]) -> TextEncoder | None:
    """A new encoder, from public sentences alone; None for `none`. InputError where it cannot be made."""
    if kind == "none":
        return None
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"text_size is {size}: it must be from {SIZES[0]} to {SIZES[1]}")
    return _of_kind(kind).make(size, labels)


def load_text(
    arrays: Mapping[str, Tensor], description: Mapping[str, Any], labels: Sequence[str]
) -> TextEncoder | None:
    """The encoder that `arrays()` and `description()` came from, None for an empty description.

    Raises InputError where it is unknown, too large, or not for `labels`.
    """
    if not description:
        if arrays:
            raise InputError("arrays of a text encoder came without its description")
        return None
    encoder = _of_kind(str(description.get("kind"))).from_arrays(arrays, description)
    if len(encoder.labels) != len(labels) + 1:
        raise InputError(f"the text encoder is for {len(encoder.labels) - 1} labels, not {len(labels)}")
    return encoder


def _of_kind(kind: str) -> type[TemplateEncoder | MiniLMEncoder]:
    if kind not in _ENCODERS:
        raise InputError(f"unknown text encoder {kind!r}: this version knows {', '.join(_ENCODERS)}")
    return _ENCODERS[kind]
