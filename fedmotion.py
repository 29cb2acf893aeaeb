"""fedmotion: one shared diffusion generator of human motion, trained over sites with differential privacy.

import fedmotion
motions = fedmotion.load("runs/demo").sample(8, label="walk")  # of a run with text: text="a person jogs"
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from server.generate import Model

# Command -> (module, function, help): one table, imported when used.
COMMANDS = {
    "simulate": ("simulations.cli", "simulate", "Train one generator over many simulated sites."),
    "pretrain": ("simulations.pretrain_cli", "pretrain", "Train a generator on public motions alone."),
    "plan": ("server.cli", "plan", "What a budget buys, before any data are read."),
    "generate": ("server.cli", "generate", "Draw motions from a run's generator."),
    "data": ("client.data", "data", "Look at motion data in any format, or convert them."),
    "client": ("client.operation", "client", "Run a site: start, status, stop, logs."),
    "ledger": ("client.cli", "ledger", "Show, verify or export a site's ledger."),
    "withdraw": ("client.cli", "withdraw", "Leave a person out of a site's later rounds."),
}


def load(run: str | Path, signer: str | None = None) -> Model:
    """The generator of a run folder: `.sample(n, label=...)`, `.labels`, `.columns`, `.rate`, `.guarantee`.

    One that learnt from text takes `.sample(n, text="a person jogs")` as well. Warns where the run
    promises nothing. `signer` is the public key that must have signed it, by
    default the one that `run.json` names.
    """
    from server.generate import load as load_model

    model = load_model(run, signer)
    if model.warning is not None:
        warnings.warn(f"{run}: {model.warning}", stacklevel=2)
    return model


def main(arguments: list[str] | None = None) -> None:
    """The command line; exits with 0, 1 (internal), 2 (usage or input), 3 (refused) or 130 (interrupted)."""
    from server.shell import run

    sys.exit(run(COMMANDS, sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    main()
