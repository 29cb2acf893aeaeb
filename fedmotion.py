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
    from server.shell import Commands

# Command -> (module, function, help), or (help, its own commands): one table, imported when used.
COMMANDS: Commands = {
    "simulate": ("simulations.cli", "simulate", "Train one generator over many simulated sites."),
    "sweep": ("simulations.sweep_cli", "sweep", "Run a grid of simulations into one table of results."),
    "pretrain": ("simulations.pretrain_cli", "pretrain", "Train a generator on public motions alone."),
    "plan": ("server.cli", "plan", "What a budget buys, before any data are read."),
    "generate": ("server.cli", "generate", "Draw motions from a run's generator."),
    "server": ("server.operation", "server", "Plan a run over real sites, start it and look after it."),
    "data": ("client.data", "data", "Look at motion data in any format, or convert them."),
    "keys": (
        "Make and look after the keys of a site or a server.",
        {
            "init": (
                "common.keys_cli",
                "init",
                "Make the keys that FILE.toml still lacks; none is replaced.",
            ),
            "show": ("common.keys_cli", "show", "Who the keys say this is: fingerprint and validity."),
            "rotate": ("common.keys_cli", "rotate", "A new identity; the old key is kept for the past."),
            "renew": (
                "common.keys_cli",
                "renew",
                "The same key for longer: a new card, to hand over again.",
            ),
        },
    ),
    "join": (
        "Join sites and a server: cards compared by people, a run plan agreed to by its hash.",
        {
            "request": ("client.joining", "request", "At the site: write its card for the coordinator."),
            "accept": ("server.admission_cli", "accept", "At the server: take a site into the roster."),
            "welcome": ("client.joining", "welcome", "At the site: keep the coordinator's card."),
            "list": ("server.admission_cli", "listing", "At the server: the sites of the roster."),
            "revoke": ("server.admission_cli", "revoke", "At the server: believe a site's key no longer."),
            "show": ("client.agreement", "show", "At the site: what a run plan asks, in plain words."),
            "agree": ("client.agreement", "agree", "At the site: say yes to one run plan, by its hash."),
            "retract": ("client.agreement", "retract", "At the site: take the yes to a plan back."),
        },
    ),
    "client": (
        "Run a site: its gate, and the messenger that connects it to the coordinator.",
        {
            "start": ("client.operation", "start", "Start both and keep them running."),
            "status": ("client.operation", "status", "What runs, since when, and what may still be spent."),
            "stop": ("client.operation", "stop", "End the site; a release under way is finished first."),
            "logs": ("client.operation", "logs", "The last lines of the site's logs."),
        },
    ),
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
