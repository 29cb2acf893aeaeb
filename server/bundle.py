"""What Flower sends to every process of a run: the installed packages, and a project file of our own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_PACKAGES: Final = ("client", "common", "protos", "server", "simulations")
_PROJECT: Final = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "fedmotion"
version = "{version}"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedmotion"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"
[tool.flwr.app.config]
run-dir = ""
"""


def write_application(folder: Path, version: str) -> Path:
    """A new `folder` that Flower bundles as it is: copies, so that any installation will do."""
    for package in _PACKAGES:
        shutil.copytree(
            _ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    (folder / "pyproject.toml").write_text(_PROJECT.format(version=version))
    return folder
