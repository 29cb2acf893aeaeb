"""A real federation on this machine: server and sites as their operators start them, by commands."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmotion import COMMANDS
from server import shell

FEDMOTION = Path(sys.executable).parent / "fedmotion"
_SITE = """name = "{name}"
ledger = "ledger.sqlite"
unit = "user"
trust = ["local", "secagg"]
methods = ["dp_sgd", "gs_wgan", "moments"]
declared_population = {people}

[budget]
epsilon = {budget}
delta = 1e-4

[data.options]
people = {people}
motions = 2
seed = {seed}
actions = "basic"

[federation]
folder = "federation"
allow_root = true
"""
_SERVER = """name = "coordinator"
folder = "state"
address = "{host}:{port}"

[front]
kind = "builtin"
host = "{host}"
port = {port}
{front}
[run]
method = "{method}"
options = {{ {options} }}
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


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    error: str


@dataclass
class Federation:
    """`folder/server.toml` and `folder/NAME/site.toml`; every step is a documented command."""

    folder: Path
    sites: Sequence[str] = ("east", "north", "west")
    trust: str = "secagg"
    method: str = "dp_sgd"
    options: str = ""
    """In TOML."""
    rounds: int = 2
    min_sites: int = 3
    deadline: float = 60.0
    people: int = 24
    budget: float = 20.0
    host: str = "127.0.0.1"
    front: str = ""
    around: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By site: what its operator puts before the command that starts it."""
    _port: int = field(default_factory=free_port)

    @property
    def server(self) -> Path:
        return self.folder / "server.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def site(self, name: str) -> Path:
        return self.folder / name / "site.toml"

    def command(self, *arguments: object) -> Done:
        """One command as `fedmotion` runs it, here in this process: most of its time is otherwise imports."""
        said, complained = io.StringIO(), io.StringIO()
        with redirect_stdout(said), redirect_stderr(complained):
            code = shell.run(COMMANDS, [str(argument) for argument in arguments])
        return Done(code, said.getvalue(), complained.getvalue())

    def run(self, *arguments: object) -> str:
        """The standard output of a command that must succeed."""
        done = self.command(*arguments)
        assert done.code == 0, f"fedmotion {' '.join(map(str, arguments))}: {done}"
        return done.out

    def told(self, *arguments: object) -> dict[str, Any]:
        """What a command says with --json, whatever its exit code."""
        done = self.command(*arguments, "--json")
        found: dict[str, Any] = json.loads(done.out)
        return found

    def prepare(self) -> str:
        """Everything up to the sites' agreement; returns the plan's hash."""
        self.write()
        self.run("pretrain", "--people", 20, "--steps", 2, "--out", self.folder / "start")
        self.run("keys", "init", self.server)
        fingerprint = self.told("keys", "show", self.server)["fingerprint"]
        for name in self.sites:
            self.join(name, fingerprint)
        return self.plan()

    def write(self) -> None:
        """The files that people write by hand."""
        self._write_server()
        for seed, name in enumerate(self.sites):
            self.site(name).parent.mkdir()
            self.site(name).write_text(
                _SITE.format(name=name, people=self.people, budget=self.budget, seed=seed)
            )

    def _write_server(self) -> None:
        self.server.write_text(
            _SERVER.format(
                host=self.host,
                port=self._port,
                front=self.front,
                method=self.method,
                options=self.options,
                rounds=self.rounds,
                trust=self.trust,
                min_sites=self.min_sites,
                deadline=self.deadline,
            )
        )

    def choose(self, method: str, options: str, trust: str) -> None:
        """Another run of the sites that are started already, agreed to by each."""
        self.method, self.options, self.trust = method, options, trust
        self._write_server()
        self.plan()

    def join(self, name: str, coordinator: str) -> None:
        """The ceremony between one site and the coordinator, both fingerprints compared."""
        site, request, welcome = (
            self.site(name),
            self.folder / f"{name}.json",
            self.folder / f"for-{name}.json",
        )
        self.run("ledger", "init", site)
        self.run("keys", "init", site)
        self.run("join", "request", site, "--out", request)
        own = self.told("keys", "show", site)["fingerprint"]
        self.run("join", "accept", self.server, request, "--fingerprint", own, "--out", welcome)
        self.run("join", "welcome", site, welcome, "--fingerprint", coordinator)

    def plan(self) -> str:
        """A new run plan, agreed to by every site; returns its hash."""
        planned = self.told("server", "plan", self.server)
        for name in self.sites:
            self.run("join", "agree", self.site(name), planned["file"], "--hash", planned["hash"])
        found: str = planned["hash"]
        return found

    def start_sites(self) -> None:
        with ThreadPoolExecutor(len(self.sites)) as pool:
            list(pool.map(self.start_site, self.sites))

    def start_site(self, name: str) -> None:
        """By its command in a process of its own, which may have something around it."""
        done = subprocess.run(
            [*self.around.get(name, ()), str(FEDMOTION), "client", "start", str(self.site(name)), "--detach"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done

    def start_server(self) -> None:
        self.run("server", "start", self.server, "--detach")

    def stop(self) -> None:
        """End whatever runs."""
        self.command("server", "stop", self.server)
        for name in self.sites:
            self.command("client", "stop", self.site(name))

    def process(self, site: str, name: str) -> int:
        """The number of one of a site's processes, once it runs; site "" is the server, name "" the
        supervisor."""
        folder = self.folder / site / "federation" / "run" if site else self.state / "run"

        def number() -> int | None:
            state = json.loads((folder / "supervisor.json").read_text())
            numbers = {child["name"]: child["pid"] for child in state["children"]}
            found: int | None = numbers[name] if name else state["process"]["pid"]
            return found

        return int(wait_for(f"{site} {name}", number, 60))

    def kill(self, site: str, name: str) -> int:
        """`kill -9`, of whose number is returned; see `process`."""
        number = self.process(site, name)
        os.kill(number, signal.SIGKILL)
        return number

    @property
    def folder_of_run(self) -> Path:
        """The newest run's."""
        return max((self.state / "runs").iterdir(), key=lambda path: path.name)

    def rounds_done(self) -> int:
        path = self.folder_of_run / "metrics.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def goes_on(self, rounds: int = 2, seconds: float = 240) -> int:
        """Wait for so many more rounds; how many are done then."""
        before = self.rounds_done()
        wait_for(f"{rounds} rounds after {before}", lambda: self.rounds_done() >= before + rounds, seconds)
        return self.rounds_done()

    def status_of_run(self) -> dict[str, Any]:
        """What the run says of itself."""
        path = self.folder_of_run / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "none"}

    def outcome(self) -> dict[str, Any] | None:
        """How the newest run ended, once it has."""
        path = self.folder_of_run / "outcome.json"
        return json.loads(path.read_text()) if path.exists() else None
