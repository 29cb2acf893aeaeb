"""Sentences as bounded vectors: what a text encoder is, and the public sentence of a label.

An encoder is public and frozen: it is made from public sentences alone, describes itself in the plan,
and gives each sentence its vector from that sentence alone.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError

SIZES: Final = (2, 512)
"""Least and greatest length of a vector."""
MOST_CHARACTERS: Final = 512
MOST_TOKENS: Final = 64
"""What is read of a sentence: the rest is left out, so that none takes longer than another may."""
_SHRINK: Final = 1 - 2.0**-14  # more than what rounding 512 squares to float32 can add

_SIDED: Final = frozenset(
    ("circle", "circles", "curve", "curves", "turn", "turns", "turning", "loop", "loops", "round", "around")
)
_SIDES: Final = frozenset(
    ("left", "leftward", "leftwards", "right", "rightward", "rightwards", "clockwise", "anticlockwise",
     "counterclockwise")
)  # fmt: skip

_SENTENCES: Final[Mapping[str, str]] = {
    "jump": "a person jumps up",
    "kick": "a person kicks",
    "pick_up": "a person picks something up",
    "punch": "a person punches",
    "reach": "a person reaches out",
    "run": "a person runs",
    "seated": "a person is seated",
    "sit": "a person sits down",
    "squat": "a person squats down",
    "stand": "a person stands up",
    "turn": "a person turns around",
    "walk": "a person walks",
    "wave": "a person waves",
}


class TextEncoder(ABC):
    """Sentences to vectors `[n, size]` of norm 1 at most; zero for one that says nothing known.

    `labels` `[declared labels + 1, size]` are the vectors of the labels' public sentences, zero for
    none: they stand for motions without a caption, at sites and in generation.
    """

    kind: ClassVar[str]
    labels: Tensor

    @property
    def size(self) -> int:
        return int(self.labels.shape[1])

    @abstractmethod
    def check(self) -> None:
        """InputError, with the way out, where this installation cannot encode."""

    @abstractmethod
    def vector(self, sentence: str) -> Tensor:
        """One sentence as `[size]` float64 of any norm; `sentence` is as `plain` leaves it."""

    @abstractmethod
    def knows(self, sentence: str) -> bool:
        """Whether any of `sentence`, as `plain` leaves it, has a meaning for this encoder."""

    @abstractmethod
    def vocabulary(self) -> str:
        """What it knows, for a message."""

    @abstractmethod
    def tokens(self, sentence: str) -> int:
        """How many tokens `sentence`, as `plain` leaves it, would take uncut."""

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """`[n, size]` float32, one sentence at a time: a row's bits are the same whatever the others are."""
        rows = [bounded(self.vector(plain(sentence))) for sentence in sentences]
        return torch.stack(rows) if rows else torch.zeros(0, self.size)

    def prompt(self, text: str) -> Tensor:
        """The vector `[size]` of what somebody asks for; InputError where it says nothing or too much."""
        self.check()
        words = plain(text)
        shown = words[:40] + ("..." if len(words) > 40 else "")
        if not words:
            raise InputError('the text is empty: say what the person does, such as "a person walks"')
        if len(text) > MOST_CHARACTERS or self.tokens(words) > MOST_TOKENS:
            raise InputError(
                f"the text {shown!r} is too long: at most {MOST_CHARACTERS} characters and"
                f" {MOST_TOKENS} words or parts of words are read"
            )
        if not self.knows(words):
            raise InputError(f"no word of the text {shown!r} is known: {self.vocabulary()}")
        return self.encode([text])[0]

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """All but the arrays, as JSON; its `kind` names the class."""

    def arrays(self) -> dict[str, Tensor]:
        """All tensors, by name."""
        return {"labels": self.labels}

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """The encoder that `arrays()` and `description()` came from; InputError where they do not fit."""


def plain(text: str) -> str:
    """`text` in compatible, lower-case letters with single spaces, without control characters, cut."""
    folded = unicodedata.normalize("NFKC", printable(text[:MOST_CHARACTERS]))[:MOST_CHARACTERS].lower()
    return printable(folded)[:MOST_CHARACTERS]


def printable(text: str) -> str:
    """`text` on one line with single spaces, without control characters or what UTF-8 has no place for."""
    kept = "".join(c if unicodedata.category(c)[0] not in "CZ" else " " for c in text)
    return " ".join(kept.split())


def sides(text: str) -> tuple[str, ...]:
    """`text` once for each side that it leaves open: "in a circle" is to the left or to the right."""
    words = set(re.findall(r"[a-z]+", plain(text)))
    if words & _SIDED and not words & _SIDES:
        return (f"{text} to the left", f"{text} to the right")
    return (text,)


def bounded(vector: Tensor) -> Tensor:
    """`vector` `[..., size]` at norm 1 or just below, in float32; zero stays zero.

    The float32 norm never exceeds 1, however it is summed.
    """
    exact = vector.to(torch.float64)
    if exact.shape[-1] == 0:
        return exact.to(torch.float32)
    largest = exact.abs().amax(dim=-1, keepdim=True)
    scaled = exact / torch.where(largest > 0, largest, 1.0)
    norm = scaled.norm(dim=-1, keepdim=True)
    return (scaled / torch.where(norm > 0, norm, 1.0) * _SHRINK).to(torch.float32)


def label_sentence(label: str) -> str:
    """The public sentence that stands for `label` where a motion has no caption of its own."""
    return _SENTENCES.get(
        label, f"a person does {' '.join(label.replace('_', ' ').replace('-', ' ').split())}"
    )


def checked_labels(arrays: Mapping[str, Tensor]) -> Tensor:
    """`arrays["labels"]` as an encoder may have it, whoever sent it."""
    labels = arrays["labels"]
    low, high = SIZES
    if labels.dim() != 2 or labels.dtype != torch.float32 or not low <= labels.shape[1] <= high:
        raise InputError(f"text vectors are of {low} to {high} numbers, got an array {tuple(labels.shape)}")
    if not bool(torch.isfinite(labels).all()) or bool((labels.double().norm(dim=1) > 1).any()):
        raise InputError("the labels' text vectors are not of norm 1 or below")
    return labels
