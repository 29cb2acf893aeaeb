"""The two processes of a site: the gate service, and the SuperNode whose ClientApp carries messages to it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from client.federation import Outline, Places, require_short
from client.privilege import Runners
from client.remote import free_port
from common.card import Card
from common.errors import InputError
from common.storage import write_atomically
from common.supervision import Child

GATE: Final = "gate"
SUPERNODE: Final = "supernode"
FINAL: Final = (2, 3)
"""Exit codes of the gate service that no restart helps: settings, and refusals such as a damaged ledger."""
GATE_PATIENCE: Final = 120.0
CONNECTED, LOST, REFUSED = "connected", "no connection, trying again", "turned away, trying again"
FAILED, GIVEN_UP = "the server failed, starting again", "gave the connection up, starting again"
_SIGNS: Final = {
    "SuperNode ID:": CONNECTED,
    "Connection successful": CONNECTED,
    "Connection attempt failed": LOST,
    "Failed to initialize the connection": REFUSED,
    # With either of these its work ends, and its process does not (Flower 1.41).
    "Server error '5": FAILED,
    "Giving up reconnection": GIVEN_UP,
}
_FLOWER: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
_PASSED_ON: Final = ("LANG", "LC_ALL", "TZ", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
"""Of its starter's environment the messenger gets these alone: it runs a stranger's code."""


def crew(outline: Outline, users: Runners, program: Path) -> tuple[Child, Child]:
    """Gate and SuperNode, which is `program`; InputError where the site has no keys, or did not join."""
    places = outline.places
    require_short(places.socket)
    if not places.coordinator.is_file():
        raise InputError(
            f"{places.coordinator} is missing: this site has not joined; see fedmotion join --help"
        )
    coordinator = Card.read(places.coordinator, "coordinator")
    if not coordinator.address:
        raise InputError(f"{places.coordinator} names no address to connect to: ask for a new card")
    for key in (places.identity, places.node_key):
        if not key.is_file():
            raise InputError(f"{key} is missing: make the site's keys with fedmotion keys init")
    return _gate(outline, users), _supernode(outline, users, coordinator, program)


def _gate(outline: Outline, users: Runners) -> Child:
    places = outline.places
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if users.gate is not None:
        environment["HOME"] = str(places.gate)
    return Child(
        name=GATE,
        command=(sys.executable, "-P", "-m", "client.service", str(outline.file)),
        environment=environment,
        folder=outline.file.parent,
        log=places.logs / "gate.log",
        user=users.gate,
        prepare=lambda: places.socket.unlink(missing_ok=True),
        ready=places.socket.exists,
        final=FINAL,
        patience=GATE_PATIENCE,
    )


def _supernode(outline: Outline, users: Runners, coordinator: Card, program: Path) -> Child:
    places = outline.places
    node = {"site": outline.name, "socket": str(places.socket)}
    _write_courier(places)
    command = [
        str(program),
        "--superlink", coordinator.address,
        "--auth-supernode-private-key", str(places.node_key),
        "--node-config", " ".join(f"{key}={json.dumps(value)}" for key, value in node.items()),
        "--isolation", "subprocess",
        "--host", "127.0.0.1",
    ]  # fmt: skip
    if coordinator.authority:
        write_atomically(places.authority, coordinator.authority.encode())
        places.authority.chmod(0o644)
        command += ["--root-certificates", str(places.authority)]
    return Child(
        name=SUPERNODE,
        command=tuple(command),
        arguments=lambda: ("--port", str(free_port())),
        environment=_environment(places),
        folder=places.flower,
        log=places.logs / "supernode.log",
        user=users.messenger,
        after=(GATE,),
        signs=_SIGNS,
        hung=(FAILED, GIVEN_UP),
        orphaned=signal.SIGTERM,
    )


def _write_courier(places: Places) -> None:
    """The SuperNode's `flower-superexec`; where no program can be run from there, it finds Flower's.

    A SuperNode that lost it would live on and answer nothing: it ends with it, and is started again.
    """
    places.programs.mkdir(exist_ok=True)
    places.programs.chmod(0o755)
    program = places.programs / "flower-superexec"
    run = f'{shlex.quote(sys.executable)} -P -m client.courier "$@"'
    text = f'#!/bin/sh\n{run} || kill "$PPID"\n'
    write_atomically(program, text.encode())
    program.chmod(0o755)


def _environment(places: Places) -> Mapping[str, str]:
    """Of the messenger: a home of its own, Flower without telemetry, update check and installations."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    programs = os.pathsep.join([str(places.programs), str(Path(sys.executable).parent), os.defpath])
    home = {"HOME": str(places.flower), "FLWR_HOME": str(places.flower), "TMPDIR": str(places.flower)}
    return {**passed_on, "PATH": programs, "PYTHONUNBUFFERED": "1", **home, **_FLOWER}
