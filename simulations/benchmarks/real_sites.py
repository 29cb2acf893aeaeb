"""A deployment of fedmotion on this machine, by the commands that its operators type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import FedmotionError
from simulations.benchmarks.bare import POLL, SITES, free_port
from simulations.benchmarks.counting import Counter, counting

_FEDMOTION = str(Path(sys.executable).parent / "fedmotion")
_SITE = """name = "{name}"
ledger = "ledger.sqlite"
unit = "user"
trust = ["local", "secagg"]
methods = ["dp_sgd"]
declared_population = 8
[budget]
epsilon = 100.0
delta = 1e-3
[data.options]
people = 8
motions = 1
[federation]
folder = "federation"
{root}"""
_SERVER = """name = "coordinator"
address = "127.0.0.1:{counted}"
[front]
host = "127.0.0.1"
port = {front}
[run]
start = {start}
options = {{ motions = 1, replicas = 1 }}
epsilon = 8.0
delta = 1e-5
rounds = {rounds}
sampling_rate = 1.0
trust = "{trust}"
min_sites = {sites}
"""
_ENVIRONMENT = {**os.environ, "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": POLL}


@dataclass(frozen=True)
class Federation:
    """SITES sites that joined a server in `folder`, all of whose traffic passes `counter`."""

    folder: Path
    counter: Counter
    front: int
    sites: tuple[Path, ...]

    @property
    def server(self) -> Path:
        return self.folder / "server.toml"

    @contextmanager
    def running(self, start: Path, trust: str, rounds: int) -> Iterator[Path]:
        """A plan that all sites agreed to, as it runs; the folder of the run."""
        _ask(self.server, self.counter.port, self.front, start, trust, rounds)
        planned = json.loads(command("server", "plan", self.server, "--json"))
        for site in self.sites:
            command("join", "agree", site, planned["file"], "--hash", planned["hash"])
        try:
            command("server", "start", self.server, "--detach")
            for site in self.sites:
                command("client", "start", site, "--detach")
            yield Path(planned["file"]).parent
        finally:
            for site in self.sites:
                command("client", "stop", site, check=False)
            command("server", "stop", self.server, check=False)


@contextmanager
def joined(folder: Path, start: Path) -> Iterator[Federation]:
    """Sites and a server that have compared their cards."""
    front = free_port()
    with counting(front) as counter:
        server = folder / "server.toml"
        _ask(server, counter.port, front, start, "local", 1)
        command("keys", "init", server)
        known = json.loads(command("keys", "show", server, "--json"))["fingerprint"]
        sites = tuple(_join(server, folder / f"site{number}", known) for number in range(SITES))
        yield Federation(folder, counter, front, sites)


def _ask(file: Path, counted: int, front: int, start: Path, trust: str, rounds: int) -> None:
    text = _SERVER.format(
        counted=counted, front=front, start=json.dumps(str(start)), rounds=rounds, trust=trust, sites=SITES
    )
    file.write_text(text)


def _join(server: Path, folder: Path, known: str) -> Path:
    """The file of a new site in `folder`, which the server has accepted and which knows the server."""
    site, request, welcome = folder / "site.toml", folder / "request", folder / "welcome"
    folder.mkdir()
    root = "allow_root = true\n" if os.geteuid() == 0 else ""
    site.write_text(_SITE.format(name=folder.name, root=root))
    command("ledger", "init", site)
    command("keys", "init", site)
    command("join", "request", site, "--out", request)
    shown = json.loads(command("keys", "show", site, "--json"))["fingerprint"]
    command("join", "accept", server, request, "--fingerprint", shown, "--out", welcome)
    command("join", "welcome", site, welcome, "--fingerprint", known)
    return site


def command(*arguments: object, check: bool = True) -> str:
    """What `fedmotion` prints; FedmotionError with its last words where it fails."""
    words = [_FEDMOTION, *map(str, arguments)]
    done = subprocess.run(words, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise FedmotionError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
