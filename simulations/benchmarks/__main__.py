"""`python -m simulations.benchmarks`: print every table."""

from __future__ import annotations

import torch
from rich.console import Console

from simulations.benchmarks import clipping, noise


def main() -> None:
    torch.set_num_threads(1)
    console = Console()
    for module in (clipping, noise):
        console.print(module.table())


if __name__ == "__main__":
    main()
