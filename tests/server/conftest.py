"""A prepared run, as the coordinator finds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.server.nodes import hub_in, prepared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared run of three sites without a roster."""
    shutil.copytree(prepared(), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A run of three sites with identities, two of which make a round."""
    return hub_in(tmp_path)
