"""A small pre-training and a small private run that starts from it, as commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fedmotion
from server.shell import run

PUBLIC = """
people = 40
motions = 2
latent = 4
steps = 60
batch = 16
options = { width = 4, replicas = 2 }
"""
PRIVATE = """
people = 40
motions = 1
sites = 2
rounds = 3
public_people = 100
test_mode = true
"""


def pretrain(*arguments: object) -> int:
    return run(fedmotion.COMMANDS, ["pretrain", *map(str, arguments)])


def simulate(*arguments: object) -> int:
    return run(fedmotion.COMMANDS, ["simulate", *map(str, arguments)])


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


Refused = Callable[..., str]
"""A command that must fail with exit code 2, to the one line that it says."""
