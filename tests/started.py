"""A site that can be started: keys, ledger and recordings on disk, and its coordinator's half to ask with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict

from client.federation import Outline, Places
from client.membership import Membership
from client.site import SiteFile
from common import supervised
from common.card import Card
from common.holder import Holder
from common.key_folder import KeyFolder
from common.method import PublicState
from common.motion.sensors import CHANNELS
from common.parcel import raise_refused
from common.plan import Plan
from common.query import Release, Seen
from common.roster import Member
from common.seal import COORDINATOR, seal, unseal
from common.signing import public_name
from common.wire import decode_acceptance, decode_release, encode_plan, encode_query
from tests.small_site import LABELS, POPULATION, ask, make_plan, make_state

Answer = Callable[[RecordDict], RecordDict]
SITE = """name = "north"
ledger = "private/ledger.sqlite"
unit = "user"
methods = ["dp_sgd"]
declared_population = {population}

[budget]
epsilon = 100.0
delta = 1e-3

[data]
path = "recordings"

[speed]
device = "cpu"

[federation]
folder = "federation"
{federation}
"""
_LAYOUT = """files = "*.csv"
labels = [{labels}]
target_rate = 50
window = 64
person.column = "who"
label.column = "activity"
time = {{ column = "t", unit = "s" }}
[channels]
"""


def wait_for(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true answer of `holds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError("not within the time that anything here takes")


@dataclass
class StartedSite:
    """Site `north` in `folder`, with the coordinator that it joined."""

    folder: Path
    coordinator: Ed25519PrivateKey

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        federation: str = "allow_root = true",
        address: str = "127.0.0.1:1",
        authority: str = "",
        people: int = 4,
        channels: Sequence[str] = CHANNELS,
    ) -> StartedSite:
        made = cls(folder, Ed25519PrivateKey.generate())
        made.file.write_text(SITE.format(population=POPULATION, federation=federation))
        write_recordings(folder / "recordings", people, channels)
        KeyFolder(Holder.read(made.file, "site")).complete()
        (folder / "private").mkdir()
        SiteFile.read(made.file).create_ledger()
        made.join(address, authority)
        return made

    @property
    def file(self) -> Path:
        return self.folder / "site.toml"

    @property
    def outline(self) -> Outline:
        return Outline.read(self.file)

    @property
    def places(self) -> Places:
        return self.outline.places

    @property
    def membership(self) -> Membership:
        return Membership.open("north", self.places.folder)

    def join(self, address: str, authority: str = "", valid_until: int = 2**40) -> None:
        card = Card(
            role="coordinator",
            name="coordinator",
            key=public_name(self.coordinator),
            valid_until=valid_until,
            address=address,
            authority=authority,
        )
        card.sign(self.coordinator).write(self.places.coordinator)

    def plan(self, **changes: Any) -> Plan:
        """A plan of the coordinator with this site in its roster, agreed to by the site's steward."""
        membership = self.membership
        member = Member(site="north", key=public_name(membership.key), population=POPULATION)
        plan = make_plan(coordinator_key=public_name(self.coordinator), roster=(member,), **changes)
        self.places.agreed.mkdir(exist_ok=True)
        words = json.dumps(membership.agree(plan.digest()))
        (self.places.agreed / f"{plan.digest()}.json").write_text(words)
        return plan

    def asked(self, content: RecordDict) -> tuple[RecordDict, str]:
        """`content` as the coordinator sends it, and what an answer to it names."""
        sent, told = seal(content, self.coordinator, COORDINATOR, "north")
        return sent, told.digest()

    def exchange(self, answer: Answer, content: RecordDict) -> RecordDict:
        """What `answer` gives to `content`, under the site's seal or a Refusal."""
        sent, told = self.asked(content)
        reply = answer(sent)
        if "seal" not in reply:
            raise_refused(reply)
        unseal(reply, public_name(self.membership.key), "north", COORDINATOR, told)
        return reply

    def accept(self, answer: Answer, plan: Plan) -> None:
        reply = self.exchange(answer, encode_plan(plan, {}))
        assert decode_acceptance(reply).plan_digest == plan.digest()

    def release(self, answer: Answer, plan: Plan, state: PublicState, seen: tuple[Seen, ...] = ()) -> Release:
        """The answer to one round; `seen` is what the site said of the round before."""
        query = ask(plan, state, seen=seen)
        return decode_release(self.exchange(answer, encode_query(query, state)), query, plan)

    def state(self, plan: Plan, round: int = 1) -> PublicState:
        return make_state(plan, round)

    @contextmanager
    def started(self, program: str | None = None) -> Iterator[subprocess.Popen[str]]:
        """`fedmotion client start` in the foreground until both processes run; stopped afterwards."""
        command = [program or sys.executable, "-P", "-m", "fedmotion", "client", "start", str(self.file)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        try:
            wait_for(lambda: process.poll() is not None or self.state_is("running"))
            yield process
        finally:
            supervised.stop(self.places.run)
            process.communicate(timeout=30)

    def state_is(self, state: str) -> bool:
        found = supervised.status(self.places.run)
        return found is not None and found.state == state

    def child(self, name: str) -> supervised.Watched:
        found = supervised.status(self.places.run)
        assert found is not None
        child = found.child(name)
        assert child is not None
        return child


def write_recordings(folder: Path, people: int, names: Sequence[str] = CHANNELS) -> None:
    """Each person a few seconds of every activity, in tables that a `sensors.toml` describes."""
    folder.mkdir()
    labels = ", ".join(f'"{label}"' for label in LABELS)
    channels = "".join(f'{name} = {{ column = "{name}", unit = "1" }}\n' for name in names)
    (folder / "sensors.toml").write_text(_LAYOUT.format(labels=labels) + channels)
    random = np.random.default_rng(0)
    lines = [f"t,who,activity,{','.join(names)}"]
    for number in range(people * len(LABELS)):
        who, label = f"person{number // len(LABELS)}", LABELS[number % len(LABELS)]
        for i, row in enumerate(random.normal(size=(130, len(names)))):
            values = ",".join(f"{value:.3f}" for value in row)
            lines.append(f"{number * 100 + i / 50:.2f},{who},{label},{values}")
    (folder / "all.csv").write_text("\n".join(lines) + "\n")
