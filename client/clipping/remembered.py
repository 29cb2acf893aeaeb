"""Contributions of units with a memory: what they give, and beside it what they then remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from client.clipping.bound import Rows
from client.clipping.step import Examples
from common.method import RememberingMethod

MEMORY: Final = "memory/content"
KNOWN: Final = "memory/known"
"""Among a method's examples: `[units, memory]`, and `[units]` whether there is any."""


def remembered(method: RememberingMethod, parameters: Mapping[str, Tensor], examples: Examples) -> Rows:
    """Two parts, vectors `[units, dimension]` and memories `[units, memory]`; one without memory begins."""
    given = {name: value for name, value in examples.items() if name not in (MEMORY, KNOWN)}
    memory, known = examples[MEMORY], examples[KNOWN]
    if not bool(known.all()):
        memory = torch.where(known[:, None], memory, method.beginning(parameters, given))
    return Rows(list(method.answers(parameters, given, memory)))


def parted(found: Rows) -> tuple[Rows, Tensor]:
    """What leaves, once clipped and noised, and what stays."""
    vectors, memory = found.parts
    return Rows([vectors]), memory


def made_up_memory(units: int, size: int) -> dict[str, Tensor]:
    """Public probes: units that begin, beside which a unit must keep its bits."""
    return {MEMORY: torch.zeros(units, size), KNOWN: torch.zeros(units, dtype=torch.bool)}
