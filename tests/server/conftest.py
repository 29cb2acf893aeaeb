"""A prepared run, as the coordinator finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulations.config import Simulation
from simulations.prepare import open_people, prepare, public_corpus

ROUNDS = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared run of three sites."""
    options: dict[str, int | float | str] = {"width": 4, "replicas": 1, "motions": 1}
    config = Simulation(
        people=30, motions=1, sites=3, rounds=ROUNDS, public_people=100, latent=4, options=options
    )
    data = open_people(config)
    prepare(config, data, public_corpus(config, data), tmp_path)
    return tmp_path
