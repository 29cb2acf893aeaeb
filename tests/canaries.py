"""People whose contribution is known: each pushes one coordinate by one number, through the real gate.

A release of `dimension` coordinates is then as many one-person experiments at once: the
marginal of a coordinate is the sampled Gaussian mechanism on the one who pushes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.users import Users
from common.generator.assets import Assets
from common.generator.codec import Codec, Description
from common.generator.generator import Generator
from common.method import GradientMethod, PublicState, UserBatch, UserRandom, digest_arrays
from common.motion.recording import Modality
from common.plan import Plan
from common.vector import Vector
from tests.small_site import ask, make_gate, make_plan, new_ledger

PUSH = Modality(kind="sensor", rate=1.0, window=1, channels=("acc_place", "acc_size"))
Push = tuple[int, float]
"""A person's coordinate and how hard they push it, before the clip."""


@dataclass(frozen=True, eq=False)
class PushCodec(Codec):
    """A window `[1, 2]` (place and size) is its own latent."""

    kind: ClassVar[str] = "push"
    labels: tuple[str, ...] = ()
    modality: Modality = PUSH
    latent: int = 2

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        return windows.flatten(1)

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return latents[:, None]

    def arrays(self) -> dict[str, Tensor]:
        return {}

    def description(self) -> Description:
        return {"kind": self.kind}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        return cls()


@dataclass(frozen=True, kw_only=True)
class Pushes(GradientMethod):
    """The gradient of a person's loss is `size` at their `place`, and 0 elsewhere."""

    name: ClassVar[str] = "pushes"
    dimension: int = 1
    motions: int = 1

    def init(self, seed: int) -> PublicState:
        return PublicState(0, {"w": torch.zeros(self.dimension)})

    def broadcast(self, state: PublicState) -> PublicState:
        return state

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return {"w": state.arrays["w"]}

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        return {"place": users.latents[:, 0, 0], "size": users.latents[:, 0, 1]}

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        places = torch.arange(self.dimension, device=examples["place"].device)
        own = places == examples["place"][:, None]
        return torch.where(own, parameters["w"] * examples["size"][:, None], 0.0).sum(dim=1)

    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        return {"w": parameters["w"] - mean}

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        return PublicState(state.round + 1, {"w": state.arrays["w"] - mean})

    def generator(self, state: PublicState) -> Generator:
        raise NotImplementedError("pushes train no generator")


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gate build `pushes`: the one thing about it that is not real."""
    monkeypatch.setattr("common.generator.assets.Assets.from_arrays", lambda *_: Assets(PushCodec()))
    monkeypatch.setattr("client.opened.build", lambda name, options, assets: Pushes(**options))


def push_plan(dimension: int, **changes: Any) -> Plan:
    plan: dict[str, Any] = {
        "method": Pushes.name, "dimension": dimension, "codec": {"kind": "push"}, "labels": (),
        "arrays_digest": digest_arrays({}), "clip_norm": 1.0, "rounds": 2,
    }  # fmt: skip
    made = make_plan(**{**plan, **changes})
    options = {"dimension": dimension}
    return Plan(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "options": options})


def push_users(pushes: Sequence[Push]) -> Users:
    raw = torch.tensor([[[float(place), size]] for place, size in pushes]).reshape(-1, 1, 2)
    names = tuple(f"{number}" for number in range(len(pushes)))
    return Users(names, range(len(pushes) + 1), raw, [None] * len(pushes), PUSH)


def releases(
    folder: Path, plan: Plan, pushes: Sequence[Push], seed: int | None, rounds: int = 1, engine: str = "auto"
) -> NDArray[np.float64]:
    """What a site of these people releases, `[rounds, dimension]` in units of C; needs `install`."""
    path = folder / f"{len(list(folder.glob('*.sqlite')))}.sqlite"
    with new_ledger(path, epsilon=float("inf"), delta=0.5) as ledger:
        gate = make_gate(ledger, push_users(pushes), seed=seed, methods=(Pushes.name,), engine=engine)
        gate.accept(plan, {})
        totals = []
        for round in range(rounds):
            state = PublicState(round, {"w": torch.zeros(plan.dimension)})
            totals.append(gate.release(ask(plan, state), state).total.to(torch.float64).numpy())
    return np.stack(totals) / plan.clip_norm
