"""A real federation on this machine: server, TLS front and sites as their operators start them, by commands."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FEDMOTION = Path(sys.executable).parent / "fedmotion"
_SITE = """name = "{name}"
ledger = "ledger.sqlite"
unit = "user"
trust = ["local", "secagg"]
methods = ["dp_sgd"]
declared_population = {people}

[budget]
epsilon = {budget}
delta = 1e-5

[data.options]
people = {people}
motions = 2
seed = {seed}
actions = ["walk", "wave"]

[federation]
folder = "federation"
"""
_SERVER = """name = "coordinator"
folder = "state"
address = "{host}:{port}"

[front]
kind = "builtin"
host = "{host}"
port = {port}

[run]
start = "start"
epsilon = 8.0
rounds = {rounds}
sampling_rate = 0.5
trust = "{trust}"
min_sites = {min_sites}
deadline = {deadline}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, holds: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of `holds`; AssertionError naming `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:g} s")


@dataclass
class Federation:
    """`folder/server.toml` and `folder/NAME/site.toml`; every step is a command of the documented kind."""

    folder: Path
    sites: Sequence[str] = ("east", "north", "west")
    trust: str = "secagg"
    rounds: int = 2
    min_sites: int = 2
    deadline: float = 60.0
    people: int = 24
    budget: float = 20.0
    host: str = "127.0.0.1"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def server(self) -> Path:
        return self.folder / "server.toml"

    def site(self, name: str) -> Path:
        return self.folder / name / "site.toml"

    def run(self, *arguments: object, code: int = 0, seconds: float = 120.0) -> str:
        """One command; its standard output, once it ended with `code`."""
        done = subprocess.run(
            [str(FEDMOTION), *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = f"fedmotion {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in said, said
        return done.stdout

    def told(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """What a command says with --json."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--json", code=code))
        return found
