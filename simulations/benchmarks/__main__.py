"""`python -m simulations.benchmarks [TABLE ...]`: print the named tables, by default all."""

from __future__ import annotations

import sys

import torch
from rich.console import Console

from simulations.benchmarks import accounting, clipping, noise, sampling

_TABLES = {
    "clipping": clipping.table,
    "noise": noise.table,
    "accounting": accounting.table,
    "sampling": sampling.table,
}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 200)
    for name in names or _TABLES:
        console.print(_TABLES[name]())


if __name__ == "__main__":
    if unknown := [name for name in sys.argv[1:] if name not in _TABLES]:
        sys.exit(f"no table {unknown[0]!r}: choose from {', '.join(_TABLES)}")
    main(sys.argv[1:])
