"""`server start | status | pause | resume | stop`: real processes, killed without warning, none left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

import fedmotion
from common.supervised import read_status
from server.proposal import propose
from server.rounds import LOCK
from server.server_file import ServerFile
from server.shell import run
from server.superlink import Flower
from tests.server.fronts import FLEET, await_true, connected, post
from tests.server.planned import server_with
from tests.test_federation import command_lines_with

PATIENCE = 180.0
pytestmark = pytest.mark.timeout(400)


class Started:
    """A server in the foreground of a process of its own, with a run that waits for its sites."""

    def __init__(self, folder: Path) -> None:
        self.file = server_with(folder)
        self.config = ServerFile.read(self.file)
        self.run = propose(self.config).folder
        self.log = folder / "start.log"
        command = [sys.executable, "-P", "-m", "fedmotion", "server", "start", str(self.file)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def pid(self, name: str) -> int:
        found = read_status(self.config.folder / "run")
        child = None if found is None else found.child(name)
        return 0 if child is None or child.pid is None or child.state != "running" else child.pid

    def state(self) -> dict[str, Any]:
        """What the ServerApp and the conductor say of themselves."""
        told: dict[str, Any] = {}
        for path in (self.run / "status.json", self.config.folder / "run" / "conductor.json"):
            if path.exists():
                fields = json.loads(path.read_text())
                told |= {"app": fields["state"]} if "rounds" in fields else {"attempts": fields["attempts"]}
        return told

    def wait(self, **wanted: object) -> None:
        def reached() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            found = self.state()
            return all(found.get(name) == value for name, value in wanted.items())

        await_true(reached, PATIENCE)

    def holder(self) -> int:
        """The process of the ServerApp: the one that holds the run's lock."""
        inode = (self.run / LOCK).stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            if line.split()[5].endswith(f":{inode}"):
                return int(line.split()[4])
        return 0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    server = Started(tmp_path_factory.mktemp("operation"))
    try:
        server.wait(app="waiting for sites", attempts=1)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
        server.process.wait(60)


def test_nobody_reaches_control_or_runtime_through_the_front(started: Started) -> None:
    """Control: on loopback both are answered."""
    config = started.config
    flower = Flower(config.folder)
    port = int((flower.home / "config.toml").read_text().split('address = "127.0.0.1:')[1].split('"')[0])
    front, authority = config.front.port, config.folder / "keys" / "ca.crt"
    for target in ("/v1/control/list-runs", "/v1/runtime/get-nodes", "/docs", "/v1/control/start-run"):
        assert status_of(front, authority, target) == 404
    assert status_of(port, flower.authority, "/v1/control/list-runs") == 200
    assert status_of(port, flower.authority, "/v1/runtime/get-nodes") != 404
    assert status_of(front, authority, FLEET) == 401  # it is there, and asks who is asking


def status_of(port: int, authority: Path, target: str) -> int:
    """What an empty message of protobuf is answered with."""
    with connected(port, authority, "127.0.0.1") as secure:
        secure.sendall(post(target, b"", f"content-type: {PROTOBUF_MEDIA_TYPE}\r\n"))
        return int(secure.recv(1 << 16).split(b" ")[1])


def test_a_second_start_is_refused(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fedmotion.COMMANDS, ["server", "start", str(started.file)]) == 2
    assert "it is running already, as process" in capsys.readouterr().err


def test_a_superlink_killed_comes_back_and_the_run_survives(started: Started) -> None:
    before, app = started.pid("superlink"), started.holder()
    os.kill(before, signal.SIGKILL)
    await_true(lambda: started.pid("superlink") not in (0, before), PATIENCE)
    assert started.holder() == app != 0 and started.state() == {"app": "waiting for sites", "attempts": 1}


def test_a_serverapp_killed_is_handed_over_again(started: Started) -> None:
    app, attempts = started.holder(), int(started.state()["attempts"])
    os.kill(app, signal.SIGKILL)
    started.wait(attempts=attempts + 1)
    await_true(lambda: started.holder() not in (0, app), PATIENCE)


def test_a_conductor_killed_before_it_wrote_a_node_down_finds_it_again(started: Started) -> None:
    nodes = started.config.folder / "run" / "nodes.json"
    before, app = json.loads(nodes.read_text()), started.holder()
    nodes.write_text(json.dumps({"nodes": {s: pair for s, pair in before["nodes"].items() if s != "north"}}))
    os.kill(started.pid("conductor"), signal.SIGKILL)
    await_true(lambda: json.loads(nodes.read_text()) == before, PATIENCE)
    await_true(lambda: started.holder() not in (0, app), PATIENCE)
    started.wait(app="waiting for sites")


def test_a_run_pauses_and_goes_on(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fedmotion.COMMANDS, ["server", "pause", str(started.file)]) == 0
    started.wait(app="paused")
    assert run(fedmotion.COMMANDS, ["server", "pause", str(started.file)]) == 2
    assert run(fedmotion.COMMANDS, ["server", "resume", str(started.file)]) == 0
    started.wait(app="waiting for sites")
    assert run(fedmotion.COMMANDS, ["server", "resume", str(started.file)]) == 2
    assert "is not paused" in capsys.readouterr().err


def test_status_says_what_runs_and_what_was_spent_under_which_terms(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fedmotion.COMMANDS, ["server", "status", str(started.file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {child["name"] for child in told["processes"]} == {"superlink", "superexec", "front", "conductor"}
    assert told["run"]["state"] == "waiting for sites" and told["run"]["round"] == 0
    assert [(site["name"], site["connected"]) for site in told["sites"]] == [
        ("east", False), ("north", False), ("west", False)
    ]  # fmt: skip
    assert told["privacy"]["epsilon_spent"] == 0 and told["privacy"]["epsilon_left"] > 7
    assert {"delta", "unit", "neighbouring", "accountant", "trust"} <= told["privacy"].keys()


def test_stop_ends_all_and_leaves_nothing_behind(started: Started) -> None:
    """The last of this file: nothing runs afterwards, and the same run could be started again."""
    folder = str(started.file.parent).encode()
    assert command_lines_with(folder)
    assert run(fedmotion.COMMANDS, ["server", "stop", str(started.file)]) == 0
    assert started.process.wait(60) == 0
    await_true(lambda: not command_lines_with(folder))
    assert run(fedmotion.COMMANDS, ["server", "stop", str(started.file)]) == 1
