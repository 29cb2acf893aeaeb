"""`python -m simulations.benchmarks [TABLE ...] [--recordings FOLDER]`: print tables, by default all.

Motion capture in FOLDER is measured as well by the tables that measure motion.
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

from simulations.benchmarks import accounting, clipping, codecs, noise

_TABLES = {"clipping": clipping.table, "noise": noise.table, "accounting": accounting.table}
_OF_MOTION = {"codecs": codecs.table}


def main(names: Sequence[str], recordings: Path | None) -> None:
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 200)
    tables: dict[str, Callable[[], Table]] = dict(_TABLES)
    tables |= {name: partial(table, recordings) for name, table in _OF_MOTION.items()}
    for name in names or tables:
        if name not in tables:
            sys.exit(f"no table {name!r}: choose from {', '.join(tables)}")
        console.print(tables[name]())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks")
    parser.add_argument("table", nargs="*", help="by default all")
    parser.add_argument("--recordings", type=Path, help="folder of motion capture")
    given = parser.parse_args()
    main(given.table, given.recordings)
