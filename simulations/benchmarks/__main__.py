"""`python -m simulations.benchmarks [TABLE ...] [--recordings FOLDER] [--methods A,B] ...`: print tables.

By default all that take under an hour. Motion capture in FOLDER is measured too, where motion is.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from common.errors import FedmotionError, InputError
from simulations.benchmarks import (
    accounting,
    clipping,
    codecs,
    images,
    noise,
    people,
    pretraining,
    quality,
    rounds,
    sampling,
    secagg,
    text,
)

_TABLES: dict[str, Callable[[], Table]] = {
    "clipping": clipping.table,
    "noise": noise.table,
    "accounting": accounting.table,
    "people": people.table,
    "text": text.table,
    "sampling": sampling.table,
    "secagg": secagg.table,
    "pretraining": pretraining.table,
    "rounds": rounds.table,
}
_OF_MOTION: dict[str, Callable[[Path | None], Table]] = {"codecs": codecs.table, "quality": quality.table}
_LONG = ("images", "pretraining", "quality", "rounds")
"""Only by name."""


def main(names: Sequence[str], recordings: Path | None, of_images: Callable[[], Table]) -> None:
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 320)
    tables = _TABLES | {name: partial(table, recordings) for name, table in _OF_MOTION.items()}
    tables["images"] = of_images
    for name in names or (name for name in tables if name not in _LONG):
        if name not in tables:
            raise InputError(f"no table {name!r}: choose from {', '.join(tables)}")
        console.print(tables[name]())


def _images(given: argparse.Namespace) -> Table:
    if given.recordings is None:
        raise InputError("images needs --recordings FOLDER, which holds mnist and fashion-mnist as idx files")
    said: dict[str, Any] = {"rounds": given.rounds, "out": given.out}
    for name in ("methods", "sets"):
        said[name] = None if (text := getattr(given, name)) is None else text.split(",")
    said["epsilons"] = None if given.epsilons is None else _epsilons(given.epsilons)
    kept = {name: value for name, value in said.items() if value is not None}
    return images.table(images.Asked(data=given.recordings, **kept))


def _epsilons(text: str) -> list[float]:
    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError:
            found.append(math.nan)
        if not found[-1] > 0:
            raise InputError(f"--epsilons {part}: it must be a number above 0, or inf for no privacy")
    return found


def command(arguments: Sequence[str]) -> int:
    """Print the tables that are asked for; the exit code, as of `fedmotion`."""
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks")
    parser.add_argument("table", nargs="*", help="by default all that take under an hour")
    parser.add_argument("--recordings", type=Path, help="folder of recordings")
    parser.add_argument("--methods", help="of the table images: methods or dpdm, with commas")
    parser.add_argument("--sets", help="of the table images: folders inside --recordings, with commas")
    parser.add_argument("--epsilons", help="of the table images: with commas; inf: no privacy")
    parser.add_argument("--rounds", type=int, help="of the table images: rounds of every row")
    parser.add_argument("--out", type=Path, help="of the table images: where its rows are kept")
    given = parser.parse_args(arguments)
    try:
        main(given.table, given.recordings, partial(_images, given))
    except FedmotionError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
