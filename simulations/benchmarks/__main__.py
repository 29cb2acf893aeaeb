"""`python -m simulations.benchmarks [TABLE ...] [--recordings FOLDER] [--methods A,B] ...`: print tables.

By default all that take under an hour. Motion capture in FOLDER is measured too, where motion is.
"""

from __future__ import annotations

import argparse
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
            sys.exit(f"no table {name!r}: choose from {', '.join(tables)}")
        console.print(tables[name]())


def _images(given: argparse.Namespace) -> Table:
    if given.recordings is None:
        raise InputError("images needs --recordings FOLDER, which holds mnist and fashion-mnist as idx files")
    said: dict[str, Any] = {"rounds": given.rounds, "out": given.out}
    for name, kind in (("methods", str), ("sets", str), ("epsilons", float)):
        text = getattr(given, name)
        said[name] = None if text is None else [kind(part) for part in text.split(",")]
    kept = {name: value for name, value in said.items() if value is not None}
    return images.table(images.Asked(data=given.recordings, **kept))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks")
    parser.add_argument("table", nargs="*", help="by default all that take under an hour")
    parser.add_argument("--recordings", type=Path, help="folder of recordings")
    parser.add_argument("--methods", help="of the table images: methods or dpdm, with commas")
    parser.add_argument("--sets", help="of the table images: folders inside --recordings, with commas")
    parser.add_argument("--epsilons", help="of the table images: with commas")
    parser.add_argument("--rounds", type=int, help="of the table images: rounds of every row")
    parser.add_argument("--out", type=Path, help="of the table images: where its rows are kept")
    given = parser.parse_args()
    try:
        main(given.table, given.recordings, partial(_images, given))
    except FedmotionError as error:
        sys.exit(f"benchmarks: {error}")
