"""Nodes of one process that come, go and lie: the coordinator's grid, with real doors behind it."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from flwr.app import Error, Message, RecordDict

import client.app
from client.site import SiteFile
from common.parcel import folded, unfolded
from common.seal import COORDINATOR, read_seal, seal
from common.signing import load_key
from server.checkpoint import KEY, Checkpoint
from server.rounds import Settings, coordinate
from simulations.config import Simulation
from simulations.grid import InProcessGrid
from simulations.identities import agree_all, federation_of, join_all
from simulations.prepare import open_people, prepare
from simulations.public_corpus import public_corpus

ROUNDS = 3

FIRST = 2
"""The number of the first node: the sites' nodes follow in the order of their files."""

Touch = Callable[[str, str, RecordDict], RecordDict | None]
"""From site, step (a message's group) and answer to what arrives instead; None: an error of Flower's."""


class Nodes(InProcessGrid):
    """The nodes of a prepared run; `away` are not connected, `touch` stands between them and the server.

    `at` are called when the first message of a step is sent, such as "round 2".
    """

    def __init__(self, folder: Path, touch: Touch | None = None) -> None:
        self.names = [file.stem for file in sorted((folder / "sites").glob("*.toml"))]
        super().__init__(client.app.app, len(self.names), {"run-dir": str(folder)})
        self.away: set[int] = set()
        self.touch: Touch = touch or (lambda site, step, answer: answer)
        self.at: dict[str, Callable[[], object]] = {}
        self.questions: list[tuple[str, str, RecordDict]] = []

    def get_node_ids(self) -> Iterable[int]:
        return [node for node in self._contexts if node >= FIRST and node not in self.away]

    def node(self, site: str) -> int:
        return FIRST + self.names.index(site)

    def renumber(self, site: str, node: int) -> None:
        """The site comes back as another node."""
        self._contexts[node] = self._contexts.pop(self.node(site))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        known = []
        for message in messages:
            self.at.pop(message.metadata.group_id, lambda: None)()
            known.append(message)
        return super().push_messages(known)

    def _answer(self, message: Message) -> Message:
        step, node = message.metadata.group_id, message.metadata.dst_node_id
        name = self.names[int(self._contexts[node].node_config["partition-id"])]
        self.questions.append((name, step, unfolded(message.content)))
        answer = super()._answer(message)
        touched = self.touch(name, step, unfolded(answer.content))
        if touched is None:
            return Message(Error(code=0), reply_to=message)
        return Message(folded(touched), reply_to=message)


def federated(folder: Path, **changes: Any) -> None:
    """Make a prepared run without a roster one of sites with identities; `changes` are the plan's."""
    key, checkpoint = load_key(folder / KEY), Checkpoint.load(folder)
    files = {file.stem: file for file in (folder / "sites").glob("*.toml")}
    populations = {name: SiteFile.read(file).declared_population for name, file in files.items()}
    roster = join_all(folder / "sites", populations, key, None)
    plan = replace(checkpoint.plan, roster=roster, **changes)
    for name, file in files.items():
        file.write_text(file.read_text() + f'\n[federation]\nfolder = "{federation_of(name)}"\npace = 0.0\n')
    agree_all(folder / "sites", plan)
    Checkpoint(plan, checkpoint.assets, checkpoint.state).save(folder, key)


@cache
def prepared() -> Path:
    """A prepared run of three sites without a roster, once a process: to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="fedmotion-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = Simulation(
        people=30, motions=1, sites=3, rounds=ROUNDS, public_people=100, latent=4,
        options={"width": 4, "replicas": 1, "motions": 1},
    )  # fmt: skip
    data = open_people(config)
    prepare(config, data, public_corpus(config, data), folder)
    return folder


def hub_in(folder: Path) -> Path:
    """A run of three sites with identities, two of which make a round."""
    shutil.copytree(prepared(), folder / "hub")
    federated(folder / "hub", min_sites=2)
    settle(folder / "hub")
    return folder / "hub"


def settle(folder: Path, **changes: Any) -> None:
    """Write the coordinator's settings: no leash, little patience."""
    settings = replace(Settings.read(folder), leash=None, patience=1.0, deadline=60.0, tries=2)
    replace(settings, **changes).write(folder)


@contextmanager
def open_doors(folder: Path) -> Iterator[None]:
    doors = {file: SiteFile.read(file).open_door() for file in (folder / "sites").glob("*.toml")}
    client.app.resident.update(doors)
    try:
        yield
    finally:
        for file, door in doors.items():
            del client.app.resident[file]
            door.close()


def run(folder: Path, nodes: Nodes) -> dict[str, Any]:
    """The run to its end, with sites as after a start of their machines; what `outcome.json` says."""
    with open_doors(folder):
        coordinate(nodes, folder)
    outcome: dict[str, Any] = json.loads((folder / "outcome.json").read_text())
    return outcome


def resealed(folder: Path, site: str, answered: RecordDict, content: RecordDict) -> RecordDict:
    """`content` in the seal of `site`, as its answer to the question that `answered` answers."""
    key = load_key(folder / "sites" / federation_of(site) / "keys" / "site.pem")
    return seal(content, key, site, COORDINATOR, read_seal(answered).answers)[0]


def rows(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]
