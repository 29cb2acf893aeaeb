"""A deployment of fedmotion on this machine, by the commands that its operators type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
epsilon = 20.0
delta = 1e-5
[data.options]
people = 8
motions = 1
seed = {seed}
[federation]
folder = "federation"
"""
_SERVER = """name = "coordinator"
address = "127.0.0.1:{counted}"
[front]
host = "127.0.0.1"
port = {front}
[ports]
superlink = {superlink}
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


@contextmanager
def deployed(folder: Path, start: Path, trust: str, rounds: int) -> Iterator[tuple[Counter, Path]]:
    """A server and SITES sites that have agreed to one plan and run it: the counter, and the run's folder."""
    front, server = free_port(), folder / "server.toml"
    with counting(front) as counter:
        text = _SERVER.format(
            counted=counter.port, front=front, superlink=free_port(), start=json.dumps(str(start)),
            rounds=rounds, trust=trust, sites=SITES,
        )  # fmt: skip
        server.write_text(text)
        sites = [_joined(folder, server, f"site{number}", number) for number in range(SITES)]
        planned = json.loads(command("server", "plan", server, "--json"))
        for site in sites:
            command("join", "agree", site, planned["file"], "--hash", planned["hash"])
        try:
            command("server", "start", server, "--detach")
            for site in sites:
                command("client", "start", site, "--detach")
            yield counter, Path(planned["file"]).parent
        finally:
            for part in (*(("client", "stop", site) for site in sites), ("server", "stop", server)):
                command(*part, check=False)


def _joined(folder: Path, server: Path, name: str, seed: int) -> Path:
    """A site in the roster that knows its coordinator."""
    site = folder / name / "site.toml"
    site.parent.mkdir()
    site.write_text(_SITE.format(name=name, seed=seed))
    if not (folder / "state").exists():
        command("keys", "init", server)
    command("ledger", "init", site)
    command("keys", "init", site)
    command("join", "request", site, "--out", site.parent / "request")
    shown = json.loads(command("keys", "show", site, "--json"))["fingerprint"]
    command(
        "join",
        "accept",
        server,
        site.parent / "request",
        "--fingerprint",
        shown,
        "--out",
        site.parent / "welcome",
    )
    known = json.loads(command("keys", "show", server, "--json"))["fingerprint"]
    command("join", "welcome", site, site.parent / "welcome", "--fingerprint", known)
    return site


def command(*arguments: object, check: bool = True) -> str:
    """What `fedmotion` prints; FedmotionError with its last words where it fails."""
    words = [_FEDMOTION, *map(str, arguments)]
    done = subprocess.run(words, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise FedmotionError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
