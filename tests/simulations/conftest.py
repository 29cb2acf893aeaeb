"""One finished pre-training for all who start from it, and commands that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import fedmotion
from server.shell import run
from tests.pretraining import PUBLIC, Refused, pretrain, write


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("settings"), PUBLIC)


@pytest.fixture(scope="session")
def base(settings: Path) -> Path:
    """A finished pre-training."""
    assert pretrain(settings, "--out", settings.parent / "base") == 0
    return settings.parent / "base"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with exit code 2; the one line that it says."""

    def attempt(*arguments: object) -> str:
        capsys.readouterr()
        assert run(fedmotion.COMMANDS, [str(argument) for argument in arguments]) == 2
        line = capsys.readouterr().err
        assert line.startswith("fedmotion: ") and line.count("\n") == 1, line
        return line

    return attempt
