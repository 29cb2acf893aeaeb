"""Processes of this machine by descent: whom a real crash hits, and what it leaves running."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def processes() -> Iterator[tuple[int, int, str]]:
    """(number, parent's number, command line) of everything that runs; what has ended is left out."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if fields[0] not in "ZX":
            yield int(process.name), int(fields[1]), line


def descendants(parent: int) -> dict[int, str]:
    """Command lines of all that `parent` started, and what they started."""
    found, known = {}, list(processes())
    line = {parent}
    while line:
        young = {pid: words for pid, above, words in known if above in line}
        found.update(young)
        line = set(young)
    return found


def descendant(parent: int, program: str) -> int | None:
    """The number of the descendant of `parent` that runs `program`; None where there is none now."""
    for pid, line in descendants(parent).items():
        if any(Path(word).name == program for word in line.split()[:2]):
            return pid
    return None


def child(parent: int, words: str) -> int | None:
    """The number of a child of `parent` whose command line has these words; None where there is none now."""
    return next((pid for pid, above, line in processes() if above == parent and words in line), None)


def left_behind(folder: Path) -> dict[int, str]:
    """Command lines of processes that work in `folder` or name it, by number."""
    found = {}
    for pid, _, line in processes():
        try:
            place = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if pid != os.getpid() and str(folder) in f"{line} {place}":
            found[pid] = line
    return found
