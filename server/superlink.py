"""Flower on this machine: its SuperLink and SuperExec as processes to keep running, and its own tools."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from common.errors import FedmotionError
from common.storage import read_json
from common.supervision import Child
from server.bundle import write_application
from server.loopback import AUTHORITY, CERTIFICATE, KEY

DATABASE: Final = "superlink.db"
NODES: Final = "nodes.json"
_CONNECTION: Final = "here"
_PASSED: Final = ("HOME", "LANG", "LC_ALL", "OMP_NUM_THREADS", "TMPDIR", "TZ")
_PATIENCE: Final = 120.0
_ENDED: Final = "finished"
_GONE: Final = "unregistered"  # Flower lists those that it no longer lets in, too


class FlowerError(FedmotionError):
    """One of Flower's own commands failed: perhaps its SuperLink is just being restarted."""


@dataclass(frozen=True)
class Flower:
    """The SuperLink on loopback whose state lies in the server's `folder`."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def home(self) -> Path:
        return self.folder / "flwr"

    @property
    def neutral(self) -> Path:
        """An empty folder to start processes in: they import what is installed, not what lies around."""
        return self.run / "empty"

    @property
    def authority(self) -> Path:
        """The certificate that the SuperLink is checked against."""
        return self.run / AUTHORITY

    def prepare(self, port: int) -> None:
        """Folders, and Flower's file that says where its SuperLink is: `port`."""
        for folder in (self.home, self.neutral, self.folder / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.home / "config.toml").write_text(
            f'[superlink]\ndefault = "{_CONNECTION}"\n[superlink.{_CONNECTION}]\n'
            f'address = "127.0.0.1:{port}"\nroot-certificates = {json.dumps(str(self.authority))}\n'
        )

    def environment(self) -> dict[str, str]:
        """Little of the caller's: no proxy, no Python path and no setting of Flower's reaches the run."""
        kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "FLWR_HOME": str(self.home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "2",
        }

    def child(self, name: str, command: Sequence[str], **settings: Any) -> Child:
        """A process of ours, in the neutral folder with this environment and a log of its name."""
        return Child(
            name=name,
            command=tuple(command),
            environment=self.environment(),
            folder=self.neutral,
            log=self.folder / "logs" / f"{name}.log",
            **settings,
        )

    def children(self, port: int) -> tuple[Child, Child]:
        """SuperLink on `port`, and SuperExec.

        With `process` and a secret nobody else claims the ServerApp's task, and with a database on disk a
        run outlives its SuperLink.
        """
        secret = str(self.folder / "keys" / "superexec.secret")
        superlink = (
            _tool("flower-superlink"),
            *("--host", "127.0.0.1", "--port", str(port), "--database", str(self.run / DATABASE)),
            *("--ssl-ca-certfile", str(self.authority), "--ssl-certfile", str(self.run / CERTIFICATE)),
            *("--ssl-keyfile", str(self.run / KEY), "--enable-supernode-auth"),
            *("--isolation", "process", "--superexec-auth-secret-file", secret),
            "--disable-runtime-dependency-installation",
        )
        superexec = (
            _tool("flower-superexec"),
            *("--runtime-api-address", f"127.0.0.1:{port}", "--root-certificates", str(self.authority)),
            *("--superexec-auth-secret-file", secret),
        )
        return (
            self.child("superlink", superlink, ready=lambda: listens("127.0.0.1", port)),
            self.child("superexec", superexec, after=("superlink",)),
        )

    def submit(self, run: Path) -> str:
        """Start the ServerApp for the run folder `run`; Flower's number of this attempt."""
        with tempfile.TemporaryDirectory(prefix="fedmotion-", dir=self.run) as name:
            place = Path(name)
            application = write_application(place / "app", version("fedmotion"))
            settings = place / "run.toml"
            settings.write_text(f"run-dir = {json.dumps(str(run))}\n")
            told = self.ask("run", str(application), _CONNECTION, "--run-config", str(settings))
        return str(told["run-id"])

    def has_ended(self, attempt: str) -> str | None:
        """How an attempt ended, in Flower's words; None while it has not."""
        listed = self.ask("ls", _CONNECTION, "--run-id", attempt)
        status = str(listed["runs"][0]["status"])
        return status if status.startswith(_ENDED) else None

    def end(self, attempt: str) -> None:
        """Stop an attempt; nothing happens where it has ended."""
        try:
            self.ask("stop", attempt, _CONNECTION)
        except FlowerError:
            if self.has_ended(attempt) is None:
                raise

    def register(self, public: Path) -> str:
        """Let in the SuperNode that holds the key to `public` (OpenSSH); Flower's number for it."""
        return str(self.ask("supernode", "register", str(public), _CONNECTION)["node-id"])

    def unregister(self, node: str) -> None:
        self.ask("supernode", "unregister", node, _CONNECTION)

    def admitted(self) -> dict[str, tuple[str, str]]:
        """Site -> its SuperNode's public key and Flower's number of it, as the conductor let them in."""
        path = self.run / NODES
        told: dict[str, list[str]] = read_json(path)["nodes"] if path.exists() else {}
        return {site: (key, node) for site, (key, node) in told.items()}

    def nodes(self) -> dict[str, str]:
        """Flower's numbers of the SuperNodes that are let in, and whether each is `online`."""
        listed = self.ask("supernode", "list", _CONNECTION)["nodes"]
        every = {str(node["node-id"]): str(node["status"]) for node in listed}
        return {node: status for node, status in every.items() if status != _GONE}

    def ask(self, *arguments: str) -> dict[str, Any]:
        """What one of Flower's own commands answers; FlowerError with its words where it fails."""
        done = subprocess.run(
            [_tool("flwr"), *arguments, "--format", "json"],
            env=self.environment(),
            cwd=self.neutral,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        start = done.stdout.find("{")
        try:
            told: Mapping[str, Any] = json.loads(done.stdout[start:]) if start >= 0 else {}
        except ValueError:
            told = {}
        if done.returncode != 0 or not told or told.get("success") is False:
            words = str(told.get("error-message") or done.stderr.strip() or done.stdout.strip())
            raise FlowerError(f"Flower's {' '.join(arguments[:2])} failed: {' '.join(words.split())[-300:]}")
        return dict(told)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def _tool(name: str) -> str:
    """One of Flower's commands, of this installation."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise FedmotionError(f"{name} is not installed beside {sys.executable}: install fedmotion again")
    return found
