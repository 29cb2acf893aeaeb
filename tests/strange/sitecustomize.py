"""A site whose gate is strange: imported by its interpreter when its operator sets PYTHONPATH to this folder.

All else is real: process, keys, ledger, seals. LIE names a file that says what the gate does to its releases,
and may change while it runs; SKEW one that says how far off its clock is, as libfaketime in SKEWED reads it.
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
        "matrix": lambda: total.reshape(1, -1),
        "not a number": lambda: torch.full_like(total, float("nan")),
        "whole numbers": lambda: torch.ones_like(total, dtype=torch.int32),
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


def _skew() -> None:
    """Become the same program under another clock."""
    os.environ |= {
        "LD_PRELOAD": os.environ["SKEWED"],
        "FAKETIME_TIMESTAMP_FILE": os.environ["SKEW"],
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if "client.service" in sys.orig_argv:
    if "SKEW" in os.environ and "LD_PRELOAD" not in os.environ:
        _skew()
    if "LIE" in os.environ:
        _install()
