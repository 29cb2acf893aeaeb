"""How often the built-in front answered with which status, in a file for the server's monitoring."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Final

from common.storage import write_json

COUNTS: Final = "front.json"
_SECONDS: Final = 5.0


class FrontCount:
    """Counts by HTTP status since the front began, on disk within some seconds of the next answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: Counter[str] = Counter()
        self._written = -_SECONDS

    def add(self, status: int) -> None:
        self._counts[str(status)] += 1
        if time.monotonic() - self._written >= _SECONDS:
            self._written = time.monotonic()
            write_json(self._path, dict(sorted(self._counts.items())))
