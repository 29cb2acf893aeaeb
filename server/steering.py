"""Pausing a run between rounds, and going on with it: a file in the run's folder."""

from __future__ import annotations

from pathlib import Path

from common.storage import write_atomically
from server.status import PAUSE


def pause(folder: Path) -> bool:
    """Ask for no further round of the run in `folder`; False where it is paused already."""
    if (folder / PAUSE).exists():
        return False
    write_atomically(folder / PAUSE, b"")
    return True


def resume(folder: Path) -> bool:
    """Let the run in `folder` go on; False where it was not paused."""
    if not (folder / PAUSE).exists():
        return False
    (folder / PAUSE).unlink()
    return True
