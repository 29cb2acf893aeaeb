"""A sweep from file to results: cells that are done are left alone, the others run or go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from common.errors import InputError
from common.storage import exclusive, read_json, write_atomically, writing
from server.generate import RUN
from server.shell import InterruptionError
from simulations.results import Result, write_results
from simulations.run import SETTINGS
from simulations.sweep import Cell, Sweep, read_sweep
from simulations.sweep_display import Display
from simulations.workers import Task, run_all, simulate_command

LOCK: Final = ".sweep.lock"
CELLS, ASKED, LOGS = "cells", "settings", "logs"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for; `jobs` None: as many as there are cores."""

    file: Path
    out: Path
    resume: bool = False
    jobs: int | None = None


def sweep(request: Request, console: Console) -> list[Result]:
    """Run all cells that are not done, and write the results: one for each cell, failed ones too."""
    found, out = read_sweep(request.file), request.out.absolute()
    jobs = len(os.sched_getaffinity(0)) if request.jobs is None else request.jobs
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}: it must be 1 or more")
    if find_spec("pyarrow") is None:
        raise InputError("a sweep writes Parquet: pip install 'fedmotion[parquet]'")
    _open(out, request.resume)
    with exclusive(out / LOCK):
        for cell in found.cells:
            _keep(out, cell)
        left = [cell for cell in found.cells if finished(out, cell) is None]
        reasons: Mapping[str, str] = {}
        with Display(console, cells=len(found.cells), done=len(found.cells) - len(left)) as shown:
            try:
                with _terminable():
                    reasons = run_all([_task(out, cell) for cell in left], jobs, shown.show)
            except KeyboardInterrupt:
                raise _interrupted(found, request, out) from None
        results = _results(found, out, reasons)
        write_results(results, found.keys, out)
    return results


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is heard as Ctrl-C is: cells end in order, and what is done is written down."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open(out: Path, resume: bool) -> None:
    if resume and not (out / CELLS).is_dir():
        raise InputError(f"nothing to resume in {out}: leave --resume out to start there")
    if not resume and out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {LOCK}):
        raise InputError(f"{out} exists: add --resume to go on with it, or choose another --out")
    with writing(out):
        for name in (CELLS, ASKED, LOGS):
            (out / name).mkdir(parents=True, exist_ok=True)


def _keep(out: Path, cell: Cell) -> None:
    """Write down the cell's settings; InputError where it was started with others."""
    path, text = out / ASKED / f"{cell.name}.toml", cell.text.encode()
    if not path.exists() or not (out / CELLS / cell.name).exists():
        write_atomically(path, text)
    elif path.read_bytes() != text:
        raise InputError(
            f"cell {cell.name} was started with other settings ({path}): undo the change in the file, remove"
            f" {out / CELLS / cell.name}, or choose another --out"
        )


def finished(out: Path, cell: Cell) -> dict[str, Any] | None:
    """`run.json` of a cell that is done; None where it stopped early or was never run."""
    path = out / CELLS / cell.name / RUN
    run = read_json(path) if path.is_file() else None
    return run if run is not None and run["stopped"] is None else None


def _task(out: Path, cell: Cell) -> Task:
    folder = out / CELLS / cell.name
    command = simulate_command(
        out / ASKED / f"{cell.name}.toml", folder, resume=(folder / SETTINGS).is_file()
    )
    return Task(name=cell.name, command=command, log=out / LOGS / f"{cell.name}.log")


def _results(found: Sweep, out: Path, reasons: Mapping[str, str]) -> list[Result]:
    return [Result(cell, finished(out, cell), reasons.get(cell.name, "not finished")) for cell in found.cells]


def _interrupted(found: Sweep, request: Request, out: Path) -> InterruptionError:
    """What is done stands in the results already; the line says how to go on."""
    results = _results(found, out, {})
    write_results(results, found.keys, out)
    done = sum(result.run is not None for result in results)
    return InterruptionError(
        f"interrupted with {done} of {len(results)} cells done; go on with: fedmotion sweep {request.file}"
        f" --out {request.out} --resume"
    )
