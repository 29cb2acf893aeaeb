"""Rows of JSON, one a round, that keep to the checkpoint: `metrics.jsonl` and `transcript.jsonl`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.accounting import ACCOUNTANT, DISPLAY_INTERVAL, epsilon
from common.event import NEIGHBOURING
from common.plan import Plan
from common.storage import write_atomically, writing


def metrics_row(plan: Plan, round: int, sites: int, claim: float, charges: int = 0) -> dict[str, Any]:
    """One line of `metrics.jsonl`: public facts alone; an infinite epsilon is null.

    `charges` is how often the most exposed site was charged, where that is more than `round`:
    attempts under `secagg` that came to nothing are paid for, too.
    """
    spent, charges = claim, max(round, charges)
    if charges < plan.rounds:
        spent = min(epsilon([plan.spent(charges)], plan.delta, DISPLAY_INTERVAL), claim)
    return {
        "round": round,
        "guarantee": plan.guarantee,
        "sites": sites,
        "epsilon": finite_or_null(spent),
        "epsilon_left": finite_or_null(claim - spent),
        "delta": plan.delta,
        "unit": plan.unit,
        "neighbouring": NEIGHBOURING,
        "accountant": ACCOUNTANT,
        "trust": plan.trust,
    }


def finite_or_null(value: float) -> float | None:
    """JSON has no infinity: null stands for it."""
    return value if math.isfinite(value) else None


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one object to a JSON-lines file, on disk when this returns."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def last_row(path: Path) -> dict[str, Any]:
    """The newest row; empty where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    row: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return row


def forget_rows_after(path: Path, round: int) -> None:
    """Cut rows that a crash left beyond the checkpoint, half-written ones included."""
    if not path.exists():
        return
    content = path.read_bytes()
    kept = b"".join(line + b"\n" for line in content.split(b"\n")[:round])
    if kept != content:  # whole or not at all: without its transcript a run cannot be resumed
        write_atomically(path, kept)
