"""A site whose installed code lies: imported by its gate's interpreter when its operator sets PYTHONPATH.

Everything else is real: process, keys, ledger, seals. What it does to its releases stands in the file that
LIE names, and may change while it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any


def _lie(kind: str, release: Any, first: list[Any]) -> Any:
    import torch

    first.append(release)
    total = release.total
    broken: dict[str, Callable[[], Any]] = {
        "longer": lambda: torch.cat([total, total]),
        "shorter": lambda: total[:-1].clone(),
        "matrix": lambda: total.reshape(1, -1),
        "not a number": lambda: torch.full_like(total, float("nan")),
        "whole numbers": lambda: torch.ones_like(total, dtype=torch.int32),
        "double": lambda: total.to(torch.float64),
    }
    if kind in broken:
        return replace(release, total=broken[kind]())
    if kind == "another name":
        return replace(release, site="north")
    return first[0] if kind == "replay" else release


def _install() -> None:
    from client.gate import LocalGate

    real, first = LocalGate.release, list[Any]()

    def release(self: LocalGate, *arguments: Any) -> Any:
        return _lie(Path(os.environ["LIE"]).read_text(), real(self, *arguments), first)

    LocalGate.release = release  # type: ignore[assignment, method-assign]


if "LIE" in os.environ and "client.service" in sys.orig_argv:
    _install()
