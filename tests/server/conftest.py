"""A prepared run, as the coordinator finds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from simulations.config import Simulation
from simulations.prepare import open_people, prepare
from simulations.public_corpus import public_corpus

ROUNDS = 3


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared run of three sites, to be copied."""
    folder = tmp_path_factory.mktemp("prepared") / "run"
    folder.mkdir()
    options: dict[str, int | float | str] = {"width": 4, "replicas": 1, "motions": 1}
    config = Simulation(
        people=30, motions=1, sites=3, rounds=ROUNDS, public_people=100, latent=4, options=options
    )
    data = open_people(config)
    prepare(config, data, public_corpus(config, data), folder)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A prepared run of three sites, all of its own."""
    shutil.copytree(prepared, tmp_path / "run")
    return tmp_path / "run"
