"""A coordinator and its sites on disk, joined as people join them: real keys, cards, roster, ledgers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict

from client.door import Door
from client.federation import FederationTable
from client.joining import welcome
from client.ledger import Ledger
from client.membership import Membership
from client.site import BudgetTable, SiteFile
from common.card import Card
from common.holder import Holder
from common.key_folder import KeyFolder
from common.plan import Plan
from common.run_plan import write_run_plan
from common.seal import COORDINATOR, seal
from common.signing import load_key, public_name
from common.wire import encode_plan
from server.admission import Roster
from simulations.toml import to_toml
from tests.small_site import POPULATION, crowd, make_gate, make_plan

DAY: Final = 86_400


class Coordinator:
    """A server's folder with its file, keys and roster."""

    def __init__(self, folder: Path, name: str = "hub") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{name}.toml"
        self.file.write_text(f'name = "{name}"\naddress = "127.0.0.1:9443"\nfolder = "{name}"\n')
        self.keys = KeyFolder(Holder.read(self.file))
        self.keys.complete()
        self.roster = Roster(self.keys.holder.folder)

    @property
    def key(self) -> Ed25519PrivateKey:
        return load_key(self.keys.identity)

    def plan(self, **changes: Any) -> Plan:
        """A plan that names everyone in the roster."""
        members = self.roster.members()
        fixed: dict[str, Any] = {"roster": members, "min_sites": len(members)}
        return make_plan(**{"coordinator_key": public_name(self.key), **fixed, **changes})

    def write(self, path: Path, plan: Plan) -> str:
        return write_run_plan(path, plan, self.key)

    def says(self, content: RecordDict, site: str) -> RecordDict:
        """`content` as this coordinator sends it to `site`."""
        return seal(content, self.key, COORDINATOR, site)[0]


class Site:
    """A site's folder with its file, keys and ledger; `door` is its gate as messages reach it."""

    def __init__(self, folder: Path, name: str = "north", people: int = POPULATION) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.file = name, folder / f"{name}.toml"
        self.set(people)
        self.keys = KeyFolder(Holder.read(self.file))
        self.keys.complete()
        self.read.create_ledger()

    def set(self, people: int, pace: float = 0.0, **changes: Any) -> None:
        """Write the site's file, with so many declared people."""
        file = SiteFile(
            name=self.name, ledger=Path(f"{self.name}.sqlite"), unit="user", methods=("dp_sgd",),
            trust=("local", "secagg"), declared_population=people,
            budget=BudgetTable(epsilon=100.0, delta=1e-3),
            federation=FederationTable(folder=Path(self.name), pace=pace),
            **changes,
        )  # fmt: skip
        self.file.write_text(to_toml(file.model_dump(exclude_none=True, mode="json")))

    @property
    def read(self) -> SiteFile:
        return SiteFile.read(self.file)

    @property
    def membership(self) -> Membership:
        return self.read.membership()

    def join(self, coordinator: Coordinator) -> None:
        """Both cards compared."""
        card = self.keys.card()
        coordinator.roster.accept(card, card.fingerprint)
        welcome(self.file, coordinator.keys.card_file, coordinator.keys.card().fingerprint)

    def door(self) -> Door:
        """The site's real door, with a few made-up people behind its gate."""
        gate = make_gate(Ledger.open(self.read.ledger), crowd(5), trust=("local",))
        return Door(gate, self.membership)


def dated(site: Site, **changes: Any) -> Card:
    """The site's card with other dates, in its own signature."""
    card = replace(site.keys.card(), signature="", **changes)
    return card.sign(load_key(site.keys.identity))


def past(days: float) -> int:
    return int(time.time() - days * DAY)


def put(coordinator: Coordinator, door: Door, plan: Plan, site: str) -> RecordDict:
    """The answer to `plan`, put under the coordinator's seal."""
    return door.answer(coordinator.says(encode_plan(plan, {}), site))
