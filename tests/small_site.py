"""One small real site: sensor windows, the default method with few parameters, a ledger on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict
from torch import Tensor

from client.gate import LocalGate
from client.ledger import Budget, Ledger
from client.policy import SitePolicy
from client.speed import Engine, Speed
from client.users import Users
from common.errors import Refusal
from common.generator.assets import Assets
from common.generator.sensor_codec import SensorCodec
from common.generator.trainable import with_low_rank
from common.method import Method, PublicState, digest_arrays
from common.methods import build
from common.motion.sensors import SENSOR
from common.noise import Source
from common.parcel import folded
from common.plan import Plan
from common.query import Query

LABELS = ("jump", "sit", "walk")
CODEC = SensorCodec(SENSOR, LABELS)
OPTIONS: dict[str, Any] = {"width": 16, "depth": 1, "motions": 4, "replicas": 4}
POPULATION = 20
ENGINES = ("auto", "ghost", "vmap", "loop", "opacus")
"""Ways to compute the clipped sum (a speed setting): each keeps every law, so each takes every test."""


def as_sent(content: RecordDict) -> RecordDict:
    """`content` as Flower carries it to a site; what has no form at all with its header for the message."""
    try:
        return folded(content)
    except Refusal:
        return RecordDict({"message" if name == "header" else name: content[name] for name in content})


def assets_of(method: str, options: Mapping[str, Any]) -> Assets:
    """The codec, and where only a part is trained, a base of random public parameters."""
    if options.get("train", "all") == "all":
        return Assets(CODEC)
    whole = {name: value for name, value in options.items() if name not in ("train", "rank")}
    start = build(method, whole, Assets(CODEC))
    random = torch.Generator().manual_seed(7)
    base = {
        name: value + 0.4 * torch.randn(value.shape, generator=random)
        for name, value in start.parameters(start.init(0)).items()
    }
    low_rank = options["train"] == "lora"
    return Assets(CODEC, with_low_rank(base, options.get("rank", 4), 0) if low_rank else base)


def method_of(plan: Plan) -> Method:
    return build(plan.method, plan.options, assets_of(plan.method, plan.options))


def make_plan(**changes: Any) -> Plan:
    options = {**OPTIONS, **changes.pop("options", {})}
    assets = assets_of("dp_sgd", options)
    plan = Plan(
        run_id="run",
        method="dp_sgd",
        options=options,
        dimension=build("dp_sgd", options, assets).dimension,
        clip_norm=0.5,
        noise_multiplier=2.0,
        sampling_rate=0.5,
        unit="user",
        trust="local",
        rounds=8,
        steps_per_round=1,
        delta=1e-5,
        codec=CODEC.description(),
        arrays_digest=digest_arrays(assets.arrays()),
        labels=LABELS,
    )
    return replace(plan, **changes)


def make_users(windows: dict[str, int], seed: int = 0) -> Users:
    """Named people with so many windows each; a person's windows depend on name and seed alone."""
    starts, pieces, labels = [0], [], []
    for name, count in windows.items():
        random = torch.Generator().manual_seed(seed * 1000 + sum(name.encode()))
        pieces.append(torch.randn(count, SENSOR.window, len(SENSOR.channels), generator=random) * 5)
        labels += [LABELS[i % 3] for i in range(count)]
        starts.append(starts[-1] + count)
    raw = torch.cat(pieces) if pieces else torch.empty(0)
    return Users(tuple(windows), starts, raw, list(labels), SENSOR)


def crowd(count: int) -> Users:
    return make_users({f"person{i}": 1 + i % 5 for i in range(count)})


def make_state(plan: Plan, round: int, scale: float = 0.3) -> PublicState:
    """What the server broadcasts before `round`: random parameters."""
    method = method_of(plan)
    random = torch.Generator().manual_seed(round)
    start = method.broadcast(method.init(0)).arrays
    arrays: dict[str, Tensor] = {}
    for name, value in start.items():
        moved = torch.randn(value.shape, generator=random) if value.is_floating_point() else None
        arrays[name] = value if moved is None else value + scale * moved
    return PublicState(round - 1, arrays)


def ask(plan: Plan, state: PublicState, **changes: Any) -> Query:
    query = Query(
        run_id=plan.run_id,
        plan_digest=plan.digest(),
        round=state.round + 1,
        state_digest=state.digest(),
    )
    return replace(query, **changes)


def new_ledger(path: Path, epsilon: float = 100.0, delta: float = 1e-3) -> Ledger:
    return Ledger.create(path, "north", "user", Budget(epsilon=epsilon, delta=delta))


def make_gate(
    ledger: Ledger,
    people: Users | Callable[[], Users],
    seed: int | None = None,
    trust: tuple[Any, ...] = ("local", "central"),
    units: int = 64,
    methods: tuple[str, ...] = ("dp_sgd",),
    engine: str = ENGINES[0],
    identity: Ed25519PrivateKey | None = None,
) -> LocalGate:
    return LocalGate(
        ledger=ledger,
        policy=SitePolicy(unit="user", trust=trust, methods=methods),
        declared_population=POPULATION,
        people=(lambda: people) if isinstance(people, Users) else people,
        source=Source(seed),
        speed=speed_of(engine, units),
        identity=identity,
    )


def speed_of(engine: str, units: int) -> Speed:
    assert engine in ENGINES
    return Speed(engine=cast(Engine, engine), units=units)
