"""The command `sweep`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.errors import FedmotionError


def sweep(
    file: Annotated[Path, typer.Argument(help="A TOML file with [base] and [grid]: docs/sweep.md.")],
    out: Annotated[Path, typer.Option(help="Folder for the cells and their results.")] = Path("runs/sweep"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out: what is done there is left alone.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Cells that run at once (default: one a core).", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results and nothing else.")] = False,
) -> None:
    """Run a grid of simulations, such as methods by epsilons by people, into one table and its plots.

    Each cell is a folder of simulate. A cell that fails is one row with its reason, the others go on, and
    the exit code is 1.
    """
    from simulations.sweep_run import Request
    from simulations.sweep_run import sweep as run_sweep

    console = Console(quiet=as_json, highlight=False)
    results = run_sweep(Request(file=file, out=out, resume=resume, jobs=jobs), console)
    failed = [result for result in results if result.run is None]
    if as_json:
        rows = [result.json() for result in results]
        print(json.dumps({"cells": len(results), "failed": len(failed), "results": rows}, indent=2))
    else:
        console.print(f"{len(results) - len(failed)} of {len(results)} cells done")
        console.print("open:")
        for name in ("results.html", "results.md", "results.parquet"):
            console.print(f"  {out / name}", soft_wrap=True)
    if failed:
        first = failed[0]
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise FedmotionError(
            f"{first.cell.name}{more} of {len(results)} cells failed: {first.reason}; {out / 'results.md'}"
            " says why each did, and --resume tries them again"
        )
