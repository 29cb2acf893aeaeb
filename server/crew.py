"""The processes of a server: Flower's SuperLink and SuperExec, the front, and the run's conductor."""

from __future__ import annotations

import sys
from pathlib import Path

from common.errors import InputError
from common.plan import Plan
from common.storage import writing
from common.supervision import Child
from server.checkpoint import Checkpoint
from server.conductor import FINAL
from server.front_count import COUNTS
from server.generate import RUN
from server.loopback import prepare_loopback
from server.preflight import require_ready
from server.server_file import ServerFile
from server.superlink import Flower, free_port, listens


def prepare(config: ServerFile, folder: Path) -> Plan:
    """The plan of the run in `folder`, with all in order for its processes; InputError where it is not."""
    plan = require_ready(config, folder)
    if (folder / RUN).exists() and Checkpoint.load(folder).state.round == plan.rounds:
        raise InputError(
            f"all {plan.rounds} rounds of run {plan.run_id} are done: see {folder}, or plan a new run"
        )
    flower = Flower(config.folder)
    with writing(config.folder):
        for part in (flower.run, config.folder / "logs"):
            part.mkdir(parents=True, exist_ok=True)
        prepare_loopback(flower.run)
    return plan


def crew(config: ServerFile, file: Path, folder: Path) -> tuple[Child, ...]:
    """All processes for the run in `folder` of the server that `file` describes; the last one ends them."""
    flower, port = Flower(config.folder), config.ports.superlink or free_port()
    flower.prepare(port)
    front = () if config.front.kind == "external" else (_front(config, flower, port),)
    others = (*flower.children(port), *front)
    conductor = flower.child(
        "conductor",
        (sys.executable, "-P", "-m", "server.conductor", str(file), str(folder)),
        after=tuple(child.name for child in others),
        final=FINAL,
    )
    return (*others, conductor)


def _front(config: ServerFile, flower: Flower, port: int) -> Child:
    front = config.front
    arguments = (front.host, front.port, config.certificate, config.key, port, flower.authority)
    counts = flower.run / COUNTS
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(front.host, front.host)
    return flower.child(
        "front",
        (sys.executable, "-P", "-m", "server.front", *map(str, arguments), str(counts)),
        ready=lambda: listens(here, front.port),
        after=("superlink",),
        patience=10.0,
    )
