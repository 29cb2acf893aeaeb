"""How long a run's training took, over all the attempts that it needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.storage import read_json, write_json
from server.rounds import METRICS

FILE: Final = "training.json"


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Add the time that the body takes to what stands in `folder`.

    An attempt that was killed counts up to the last round that it finished.
    """
    before = _before(folder)
    began = time.time()
    write_json(folder / FILE, {"seconds": before, "since": began})
    try:
        yield
    finally:
        write_json(folder / FILE, {"seconds": before + max(0.0, time.time() - began), "since": None})


def seconds(folder: Path) -> float | None:
    """Seconds of training so far; None where nobody took the time."""
    return round(_before(folder), 2) if (folder / FILE).is_file() else None


def _before(folder: Path) -> float:
    if not (folder / FILE).is_file():
        return 0.0
    told = read_json(folder / FILE)
    spent, since, rows = float(told["seconds"]), told["since"], folder / METRICS
    if since is not None and rows.is_file():
        spent += max(0.0, rows.stat().st_mtime - since)
    return spent
