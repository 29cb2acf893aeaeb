"""A log file of bounded size: what is old goes to `FILE.1`, what is older is forgotten."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

MOST = 8 * 2**20


class RotatingFile:
    """Bytes appended to `path`, its owner's alone; file and predecessor hold at most `most` bytes each.

    On a full disk lines are lost, and nothing else: whoever writes them goes on.
    """

    def __init__(self, path: Path, most: int = MOST) -> None:
        self.path = path
        self._most = most
        self._file = self._open()

    def write(self, content: bytes) -> None:
        with suppress(OSError):
            if self._file.tell() > 0 and self._file.tell() + len(content) > self._most:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                full, self._file = self._file, self._open()
                full.close()
            self._file.write(content)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)
        file.seek(0, os.SEEK_END)
        return file


def last_lines(path: Path, count: int = 1) -> list[str]:
    """The last `count` lines that say anything; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 512 * count - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]
