"""Folders on small disks of their own (tmpfs), which a test fills up and frees again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FILLER = "filler"


class NoDiskError(Exception):
    """The machine does not let us."""


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """`folder`, with what it holds, on a disk of that size until the end; NoDiskError where none is."""
    folder.mkdir(exist_ok=True)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoDiskError(f"no small disks here: {done.stderr.strip()}")
    try:
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave not a byte on the disk of `folder`."""
    with (folder / _FILLER).open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(os.urandom(size) if size < 4096 else bytes(size))


def free(folder: Path) -> None:
    (folder / _FILLER).unlink()
