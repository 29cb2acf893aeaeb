"""What changes time and memory only; nothing here bears on a guarantee."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Engine = Literal["auto", "keep", "ghost", "vmap", "loop", "opacus"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How a site computes its people's contributions.

    `engine` computes per-unit gradients; `units` is the most computed at once, and
    `memory` bounds what they take, in bytes; `precision` bfloat16 runs the network under
    autocast.
    """

    device: str = "cpu"
    engine: Engine = "auto"
    units: int = 64
    memory: int = 2**29
    precision: Precision = "float32"
