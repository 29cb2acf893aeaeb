"""Cells of a sweep in processes of their own, so many at once; none outlives the sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.process import die_with_parent
from common.storage import writing

_POLL: Final = 0.1
_PATIENCE: Final = 30.0
"""Seconds in which an interrupted cell writes down how far it came."""
_INTERRUPTED: Final = 130


@dataclass(frozen=True, kw_only=True)
class Task:
    """One command line; what it says of errors goes to `log`."""

    name: str
    command: Sequence[str]
    log: Path


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far the tasks are: names of those that run, and why each that ended failed (empty: done)."""

    running: tuple[str, ...] = ()
    ended: Mapping[str, str] = field(default_factory=dict)


def run_all(tasks: Sequence[Task], jobs: int, told: Callable[[Standing], None]) -> Mapping[str, str]:
    """Run `tasks`, at most `jobs` at once; the reason of each that failed, by name, empty for the others.

    `told` hears how far they are. On KeyboardInterrupt, or anything else, all are ended before it goes on.
    """
    waiting, running, ended = list(reversed(tasks)), dict[str, subprocess.Popen[bytes]](), dict[str, str]()
    logs = {task.name: task.log for task in tasks}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                running[task.name] = _start(task)
            told(Standing(running=tuple(running), ended=dict(ended)))
            time.sleep(_POLL)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                code = running.pop(name).returncode
                ended[name] = "" if code == 0 else _reason(logs[name], code)
        told(Standing(ended=dict(ended)))
    finally:
        end(list(running.values()))
    return ended


def _start(task: Task) -> subprocess.Popen[bytes]:
    """Its session is its own: a terminal's Ctrl-C reaches the sweep alone, which ends its cells in order."""
    with writing(task.log), task.log.open("wb") as log:
        return subprocess.Popen(
            task.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            preexec_fn=_prepare,
        )


def _prepare() -> None:
    """Hear an interruption whatever the shell thought of it, and get one if the sweep is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent(signal.SIGINT)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupt `processes` and wait until they have ended; a second Ctrl-C, or too long a wait, kills."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    until = time.monotonic() + _PATIENCE
    try:
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _reason(log: Path, code: int) -> str:
    """The last line that the process wrote, without the program's name."""
    if code < 0:
        return f"ended by signal {-code} ({signal.Signals(-code).name})"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if not lines:
        return f"ended with exit code {code} and no word"
    return lines[-1].removeprefix("fedmotion: ") if code != _INTERRUPTED else "interrupted"


def simulate_command(settings: Path, folder: Path, *, resume: bool) -> list[str]:
    """This program's own `simulate`, in whatever place it is installed."""
    command = [sys.executable, "-P", "-m", "fedmotion", "simulate", str(settings), "--out", str(folder)]
    return [*command, "--json", *(["--resume"] if resume else [])]
