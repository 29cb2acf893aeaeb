"""The text encoder of free language: MiniLM's sentence vectors on the axes that tell movements apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator.grammar import MEANINGS, sentences
from common.generator.minilm import SHA256, WEIGHTS, WIDTH, installed
from common.generator.text import MOST_TOKENS, TextEncoder, bounded, checked_labels, label_sentence, plain

_MOST: Final = 1e6
_RIDGE: Final = 0.3


@dataclass(frozen=True, eq=False)
class MiniLMEncoder(TextEncoder):
    """`(x - mean) @ axes` of MiniLM's `x` `[384]`, fitted on public sentences about movement.

    `mean` `[384]` and `axes` `[384, size]` travel with the plan, so that all sites have the same ones.
    """

    kind: ClassVar[str] = "minilm"

    labels: Tensor
    mean: Tensor
    axes: Tensor

    @classmethod
    def make(cls, size: int, labels: Sequence[str]) -> Self:
        """Fitted on the public grammar; InputError where the package is missing or `size` above its reach."""
        mean, axes = _fit(size)
        rows = [bounded(_projected(label_sentence(label), mean, axes)) for label in labels]
        return cls(torch.stack([*rows, torch.zeros(size)]), mean, axes)

    def check(self) -> None:
        installed()

    def vector(self, sentence: str) -> Tensor:
        return _projected(sentence, self.mean, self.axes)

    def knows(self, sentence: str) -> bool:
        tokens = installed().tokenizer.encode(sentence).tokens[1:-1]
        return any(any(c.isalpha() for c in token) and token != "[UNK]" for token in tokens)

    def vocabulary(self) -> str:
        return "the text encoder minilm reads English"

    def tokens(self, sentence: str) -> int:
        return len(installed().tokenizer.encode(sentence).ids)

    def description(self) -> dict[str, Any]:
        return {"kind": self.kind, "weights_sha256": SHA256[WEIGHTS]}

    def arrays(self) -> dict[str, Tensor]:
        return {"labels": self.labels, "mean": self.mean, "axes": self.axes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        if set(description) != {"kind", "weights_sha256"} or set(arrays) != {"labels", "mean", "axes"}:
            raise InputError("this is no description of a MiniLM encoder")
        if description["weights_sha256"] != SHA256[WEIGHTS]:
            raise InputError("the run's MiniLM has other weights than this version pins")
        labels, mean, axes = checked_labels(arrays), arrays["mean"], arrays["axes"]
        for array, shape in ((mean, (WIDTH,)), (axes, (WIDTH, labels.shape[1]))):
            if array.shape != shape or array.dtype != torch.float32 or not bool((array.abs() <= _MOST).all()):
                raise InputError(f"an array of the MiniLM encoder is not {shape} float32 numbers up to 1e6")
        return cls(labels, mean, axes)


def _projected(sentence: str, mean: Tensor, axes: Tensor) -> Tensor:
    if not plain(sentence):
        return torch.zeros(axes.shape[1], dtype=torch.float64)
    return (installed().vector(plain(sentence), MOST_TOKENS) - mean.double()) @ axes.double()


@cache
def _fit(size: int) -> tuple[Tensor, Tensor]:
    """Ridge regression of what the public grammar's sentences say on MiniLM's vectors of them.

    Of the fitted values the first `size` principal axes are kept.
    """
    if size > len(MEANINGS):
        raise InputError(f"text_size is {size}: with minilm it must be at most {len(MEANINGS)}")
    grammar = sentences()
    rows = torch.stack([installed().vector(sentence.words, MOST_TOKENS) for sentence in grammar])
    said = torch.zeros(len(grammar), len(MEANINGS), dtype=torch.float64)
    for number, sentence in enumerate(grammar):
        said[number, list(sentence.says)] = 1.0
    mean = rows.mean(dim=0)
    x = rows - mean
    ridge = x.T @ x + _RIDGE * torch.eye(WIDTH, dtype=torch.float64)
    weights = torch.linalg.solve(ridge, x.T @ (said - said.mean(dim=0)))
    axes = torch.linalg.svd(x @ weights, full_matrices=False)[2][:size]
    return mean.float(), (weights @ axes.T).float().contiguous()
