"""`python -m simulations.benchmarks [TABLE ...] [--recordings FOLDER]`: print tables.

By default all that take under an hour. Motion capture in FOLDER is measured too, where motion is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from simulations.benchmarks import (
    accounting,
    clipping,
    codecs,
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
_LONG = ("pretraining", "quality", "rounds")
"""Only by name."""


def main(names: Sequence[str], recordings: Path | None) -> None:
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 320)
    tables = _TABLES | {name: partial(table, recordings) for name, table in _OF_MOTION.items()}
    for name in names or (name for name in tables if name not in _LONG):
        if name not in tables:
            sys.exit(f"no table {name!r}: choose from {', '.join(tables)}")
        console.print(tables[name]())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks")
    parser.add_argument("table", nargs="*", help="by default all that take under an hour")
    parser.add_argument("--recordings", type=Path, help="folder of recordings")
    given = parser.parse_args()
    main(given.table, given.recordings)
