"""What a securely aggregated round costs beside one under `local`: the protocol alone, noise for vectors.

Real doors, seals, messages and the coordinator's own code in one process; no data, no training, no disk.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from rich.table import Table
from torch import Tensor

from client.door import Door
from client.masking import Masking
from client.membership import AGREED, Membership
from common.card import Card
from common.discrete_gaussian import DiscreteGaussian
from common.method import PublicState
from common.noise import Source, Stream, gaussian
from common.parcel import encode_hello, folded, to_parcel, unfolded
from common.plan import Plan
from common.query import Acceptance, Query, Release
from common.roster import Member
from common.secagg.messages import (
    Advertise,
    Cohort,
    Confirm,
    Confirmed,
    Keys,
    Shared,
    Shares,
    Unmask,
    Unmasked,
)
from common.secagg.sizes import sizes_for
from common.signing import public_name
from common.storage import write_json
from common.witness import Head
from server.aggregate import Sum
from server.checkpoint import Checkpoint
from server.enrolment import Enrolment, Patience
from server.exchange import Exchange
from server.planning import fewest
from server.question import Question
from server.secure_sum import SecureSum
from server.transcript import Transcript
from server.witnesses import Witnesses
from simulations.grid import InProcessGrid

_SITES: Final = (4, 16, 64, 100)
_DIMENSION: Final = 1_000_000
_PEOPLE: Final = 50
_FOR_GOOD: Final = 2**40


class _NoiseGate:
    """A gate that holds nobody: what it releases is its noise, under masks where the plan says so."""

    def __init__(self, plan: Plan, site: str, key: Ed25519PrivateKey) -> None:
        self._plan, self._site, self._key = plan, site, key
        self._masking = Masking(site, key)
        self._stream = Stream(Source().key("benchmark", site))

    def accept(self, plan: Plan, arrays: Mapping[str, Tensor]) -> Acceptance:
        return Acceptance(
            site=self._site,
            plan_digest=plan.digest(),
            declared_population=_PEOPLE,
            site_key=public_name(self._key),
            head=self._head(),
        )

    def _head(self) -> Head:
        return Head.sign(self._key, self._site, hashlib.sha256(self._site.encode()).hexdigest())

    def plan(self, digest: str) -> Plan:
        return self._plan

    def release(self, query: Query, state: PublicState, shares: Sequence[Shares] = ()) -> Release:
        plan = self._plan
        if plan.trust == "secagg":
            noise = DiscreteGaussian(plan.share_variance).draw(self._stream, plan.dimension)
            masks = self._masking.masks(plan, query, shares)
            total = self._masking.masked(query.plan_digest, torch.from_numpy(np.asarray(noise)), masks)
        else:
            total = gaussian(self._stream, plan.noise_std, plan.dimension).to(torch.float32)
        return Release(
            site=self._site,
            run_id=plan.run_id,
            round=query.round,
            query_digest=query.digest(plan.trust),
            charge=query.round,
            total=total,
            head=self._head(),
        )

    def advertise(self, asked: Advertise) -> Keys:
        return self._masking.advertise(self._plan, asked)

    def share(self, cohort: Cohort) -> Shared:
        return self._masking.share(self._plan, cohort)

    def confirm(self, asked: Confirm) -> Confirmed:
        return self._masking.confirm(self._plan, asked)

    def unmask(self, asked: Unmask) -> Unmasked:
        return self._masking.unmask(self._plan, asked)

    def rest(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Bill:
    """CPU seconds of all sites together, bytes that they got and sent, and questions asked."""

    seconds: float = 0.0
    received: int = 0
    sent: int = 0
    questions: int = 0

    def clear(self) -> None:
        self.seconds, self.received, self.sent, self.questions = 0.0, 0, 0, 0


def table() -> Table:
    """One round at a million dimensions: CPU seconds and megabytes, a site and the server."""
    result = Table(
        title=f"secagg: one round, {_DIMENSION:,} dimensions, no dropouts, CPU seconds and MB; {_machine()}"
    )
    for name in ("sites", "trust", "exchanges", "s a site", "s server", "MB to a site", "MB from a site"):
        result.add_column(name, justify="right")
    for sites in _SITES:
        for trust in ("local", "secagg"):
            bill, server = measured(sites, trust, _DIMENSION)
            each = [f"{value / sites:.3f}" for value in (bill.seconds, bill.received / 1e6, bill.sent / 1e6)]
            result.add_row(
                str(sites), trust, f"{bill.questions / sites:g}", each[0], f"{server:.2f}", *each[1:]
            )
    return result


def _machine() -> str:
    return f"{platform.node()}, {platform.machine()}, {os.cpu_count()} CPUs, one used"


def measured(sites: int, trust: str, dimension: int) -> tuple[Bill, float]:
    """One round; the server's own CPU seconds beside the sites' bill."""
    with tempfile.TemporaryDirectory(prefix="fedmotion-secagg-") as name:
        folder, key = Path(name), Ed25519PrivateKey.generate()
        keys = {f"site-{number:03}": Ed25519PrivateKey.generate() for number in range(sites)}
        plan = _plan(keys, trust, public_name(key), dimension)
        card = Card(role="coordinator", name="benchmark", key=public_name(key), valid_until=_FOR_GOOD).sign(
            key
        )
        doors = [_door(folder, plan, site, own, card) for site, own in keys.items()]
        bill = Bill()
        exchange = Exchange(InProcessGrid(_app(doors, list(keys), bill), sites, {}), key, plan.roster)
        state = PublicState(0, {"x": torch.zeros(plan.dimension)})
        witnesses, transcript = Witnesses(folder, key, plan.digest()), Transcript(folder, plan, 0)
        patience = Patience(nodes=sites, gather=600.0, answer=600.0)
        enrolment = Enrolment(exchange, Checkpoint(plan, {}, state), witnesses, patience)
        enrolment.refresh()
        bill.clear()
        start = time.process_time()
        if trust == "secagg":
            total = SecureSum(plan, state, enrolment, witnesses, transcript, 600.0).attempt(
                enrolment.accepted
            )
        else:
            total, question = Sum(plan.dimension), Question(plan, state, witnesses, transcript)
            for site, release in enrolment.ask(
                enrolment.accepted, question.to, question.read, seconds=600.0, group="round 1", ordered=True
            ):
                total.add(release, enrolment.population(site))
        assert len(total.sites) == sites
        return bill, time.process_time() - start - bill.seconds


def _plan(keys: Mapping[str, Ed25519PrivateKey], trust: str, coordinator: str, dimension: int) -> Plan:
    roster = tuple(Member(site=site, key=public_name(key), population=_PEOPLE) for site, key in keys.items())
    plan = Plan(
        run_id="benchmark", method="dp_sgd", options={}, dimension=dimension, clip_norm=1.0,
        noise_multiplier=1.0, sampling_rate=0.1, unit="user", trust="local", rounds=1, steps_per_round=1,
        delta=1e-6, codec={}, arrays_digest="", labels=(), coordinator_key=coordinator, roster=roster,
    )  # fmt: skip
    if trust == "local":
        return plan
    least = fewest("secagg", len(roster))
    sizes = sizes_for(
        clip_norm=plan.clip_norm,
        dimension=plan.dimension,
        noise_multiplier=plan.noise_multiplier,
        sampling_rate=plan.sampling_rate,
        roster=roster,
        min_sites=least,
        colluders=plan.colluders,
    )
    return replace(plan, trust="secagg", min_sites=least, **asdict(sizes))


def _door(folder: Path, plan: Plan, site: str, key: Ed25519PrivateKey, card: Card) -> Door:
    membership = Membership(site=site, folder=folder / site, key=key, coordinator=card)
    (membership.folder / AGREED).mkdir(parents=True)
    write_json(membership.folder / AGREED / f"{plan.digest()}.json", membership.agree(plan.digest()))
    return Door(_NoiseGate(plan, site, key), membership)


def _app(doors: Sequence[Door], names: Sequence[str], bill: Bill) -> ClientApp:
    """The messenger of every site, with a bill."""
    app = ClientApp()

    @app.query("hello")
    def hello(message: Message, context: Context) -> Message:
        name = names[int(context.node_config["partition-id"])]
        return Message(folded(encode_hello(name)), reply_to=message)

    @app.query("plan")
    @app.train()
    def carry(message: Message, context: Context) -> Message:
        question = unfolded(message.content)
        start = time.process_time()
        answer = doors[int(context.node_config["partition-id"])].answer(question)
        bill.seconds += time.process_time() - start
        bill.received += to_parcel(question).ByteSize()
        bill.sent += to_parcel(answer).ByteSize()
        bill.questions += 1
        return Message(folded(answer), reply_to=message)

    return app
