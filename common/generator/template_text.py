"""The text encoder that needs no package: which of the concepts of a closed vocabulary a sentence names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.text import MOST_TOKENS, TextEncoder, bounded, checked_labels, label_sentence, plain
from common.generator.vocabulary import ACTIONS, CONCEPTS, SHA256, concepts

_QUALITY: Final = 0.5
"""Weight of a concept that is no action, next to an action's 1."""


@dataclass(frozen=True, eq=False)
class TemplateEncoder(TextEncoder):
    """The weighted sum of the directions of all concepts that a sentence names; other words count nothing.

    The first `size` concepts have an axis each, the others a fixed direction hashed from their name.
    """

    kind: ClassVar[str] = "template"

    labels: Tensor

    @classmethod
    def make(cls, size: int, labels: Sequence[str]) -> Self:
        rows = [bounded(_vector(plain(label_sentence(label)), size)) for label in labels]
        return cls(torch.stack([*rows, torch.zeros(size)]))

    def check(self) -> None:
        pass

    def vector(self, sentence: str) -> Tensor:
        return _vector(sentence, self.size)

    def knows(self, sentence: str) -> bool:
        return bool(concepts(_split(sentence)))

    def vocabulary(self) -> str:
        return f"this run's text says {', '.join(ACTIONS)}, how and where to"

    def tokens(self, sentence: str) -> int:
        return len(_split(sentence))

    def description(self) -> dict[str, Any]:
        return {"kind": self.kind, "vocabulary_sha256": SHA256}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        if set(description) != {"kind", "vocabulary_sha256"} or set(arrays) != {"labels"}:
            raise InputError("this is no description of a template encoder")
        if description["vocabulary_sha256"] != SHA256:
            raise InputError(
                "the run's template encoder has another vocabulary: install the version of fedmotion that"
                " made the run"
            )
        return cls(checked_labels(arrays))


def _split(sentence: str) -> list[str]:
    return re.findall(r"[^\W_]+", sentence)


def _vector(sentence: str, size: int) -> Tensor:
    total = torch.zeros(size, dtype=torch.float64)
    for concept in concepts(_split(sentence)[:MOST_TOKENS]):
        total += _direction(concept, size) * (1.0 if concept in ACTIONS else _QUALITY)
    return total


@cache
def _direction(concept: str, size: int) -> Tensor:
    place = CONCEPTS.index(concept)
    if place < size:
        return torch.eye(size, dtype=torch.float64)[place]
    bits = b"".join(hashlib.sha256(f"{concept}|{block}".encode()).digest() for block in range(-(-size // 32)))
    signs = np.frombuffer(bits, np.uint8)[:size].astype(np.float64) - 127.5
    return torch.from_numpy(signs / np.linalg.norm(signs))
