"""A supervisor as others see it: what it says in `supervisor.json`, whether that still holds, how to end it.

A supervisor holds the lock beside the file for as long as it lives, however it ends.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from common.errors import FedmotionError, InputError
from common.process import Process, end_session, ended
from common.rotating import last_lines
from common.storage import held, read_json, write_json

LOCK: Final = "supervisor.lock"
STATE: Final = "supervisor.json"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One child: `starting`, `running`, `waiting` (to be started), `stopped` or `failed` since `since`.

    `since` is in seconds since 1970; `exit` the last exit code (negative: a signal), `words` the log's
    last line at that time; `sign` is what its output says of it, since `sign_since`.
    """

    name: str
    state: str
    since: float
    pid: int | None = None
    restarts: int = 0
    exit: int | None = None
    words: str = ""
    sign: str = ""
    sign_since: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """A supervisor: `starting`, `running`, `stopping`, `stopped`, `crashed`, or `failed` with exit `code`."""

    process: Process
    since: float
    state: str
    code: int
    children: tuple[Watched, ...]

    @property
    def running(self) -> bool:
        return self.state in ("starting", "running", "stopping")

    def child(self, name: str) -> Watched | None:
        return next((child for child in self.children if child.name == name), None)

    def describe(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)


def write_status(folder: Path, status: Status) -> None:
    """Replace what `folder` holds, whole or not at all."""
    write_json(folder / STATE, status.describe())


def read_status(folder: Path) -> Status | None:
    """What the last supervisor of `folder` wrote; None where none did, or a machine lost half of it."""
    if not (folder / STATE).is_file():
        return None
    try:
        fields = read_json(folder / STATE)
        children = tuple(Watched(**child) for child in fields.pop("children"))
        return Status(process=Process(**fields.pop("process")), children=children, **fields)
    except (InputError, LookupError, TypeError, AttributeError):
        return None


def require_stopped(folder: Path) -> None:
    """InputError naming the process where a supervisor is at work in `folder`."""
    if held(folder / LOCK):
        found = read_status(folder)
        number = "another process" if found is None else f"process {found.process.pid}"
        raise InputError(f"it is running already, as {number}: stop that one first")


def status(folder: Path) -> Status | None:
    """What runs from `folder`; of a supervisor that was killed, or lost with its machine, state `crashed`."""
    found = read_status(folder)
    if found is None or found.state in ("stopped", "failed") or held(folder / LOCK):
        return found
    children = tuple(replace(child, state="stopped", pid=None) for child in found.children)
    return replace(found, state="crashed", children=children)


def end_remains(before: Status | None, folders: Mapping[str, Path]) -> None:
    """End what outlived a supervisor that was killed: of its children, by their folders, and theirs."""
    if before is None or before.process.boot != Process.own().boot:
        return
    for child in before.children:
        if child.pid is not None and child.name in folders:
            end_session(child.pid, folders[child.name])


def stop(folder: Path, patience: float = 180.0) -> bool:
    """End the supervisor of `folder` with all its children; False where none runs.

    FedmotionError where it does not end.
    """
    found = read_status(folder)
    if found is None or not held(folder / LOCK) or not found.process.alive():
        return False
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        found.process.signal(number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not found.process.alive():
                return True
            time.sleep(0.05)
    raise FedmotionError(f"process {found.process.pid} does not end")


def detach(command: Sequence[str], folder: Path, log: Path, patience: float = 120.0) -> Status:
    """Start a supervisor by `command` on its own: what it says once all is up, or nothing will be."""
    require_stopped(folder)
    said = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), said, (os.POSIX_SPAWN_DUP2, 1, 2)]
    pid = os.posix_spawn(command[0], [*command], os.environ, file_actions=actions, setsid=True)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        over, found = ended(pid), read_status(folder)
        ours = found if found is not None and found.process.pid == pid else None
        if ours is not None and (ours.state == "running" or (over and ours.state == "failed")):
            return ours
        if over:
            words = "".join(last_lines(log)).removeprefix("fedmotion: ")
            raise FedmotionError(words or f"it ended at once: see {log}")
        time.sleep(0.1)
    raise FedmotionError(f"it is not up after {patience:g} s, and goes on trying: see {log}")
