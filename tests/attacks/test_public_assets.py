"""What a plan brings along, and what people say of their motions, moves nobody else and breaks no site.

A check takes a folder: `tests/attacks/test_sabotaged_builds.py` puts it to builds without a defence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from client.clipping import choice, cost
from client.clipping.bound import Rows
from client.datasets import DataSet
from client.gate import LocalGate
from client.users import Users
from common.errors import Refusal
from common.generator.assets import Assets
from common.generator.identity_codec import IdentityCodec
from common.generator.scale import Scale
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState, digest_arrays
from common.methods import build
from common.motion.recording import Recording
from common.motion.sensors import SENSOR
from common.noise import PersonRandom
from common.plan import Plan
from tests.common.generator.encoders import encoder
from tests.recording import recording
from tests.small_site import (
    CODEC,
    LABELS,
    ask,
    assets_of,
    crowd,
    make_gate,
    make_plan,
    make_users,
    new_ledger,
)

SAID = ("a person walks slowly", "a man kicks", "she turns left", "\ud800", "", "waves " * 10**4)


def speakers(count: int) -> Users:
    """People with four windows and the same sentences each."""
    recordings = []
    for number in range(count):
        random = np.random.default_rng(number)
        samples = random.normal(size=(4 * SENSOR.window, len(SENSOR.channels))).astype(np.float32)
        recordings.append(
            Recording(person=f"p{number}", name="a", label="walk", samples=samples, captions=SAID)
        )
    return Users.gather(recordings, cast(DataSet, SimpleNamespace(modality=SENSOR)), "user")


def check_captions(_: Path) -> None:
    """The sentence that is drawn of a person's motion is the same alone and among others."""

    def drawn(units: list[int]) -> Tensor:
        users = speakers(6)
        users.encode(CODEC, "plan", encoder("template", LABELS))
        rng = PersonRandom(bytes(32), [users.names[unit] for unit in units])
        return users.batch(units, 4, rng, "plan").condition.text

    together = drawn([0, 1, 2, 3, 4, 5])
    assert all(torch.equal(drawn([unit])[0], together[unit]) for unit in range(6))


def check_padding(folder: Path) -> None:
    """What stands in a window after the motion's end moves nothing, not even NaN."""
    codec = IdentityCodec(LABELS, SENSOR, Scale.fixed(SENSOR))
    options = {"denoiser": "unet", "width": 16, "depth": 1, "motions": 2, "replicas": 2}
    method = build("dp_sgd", options, Assets(codec))
    plan = replace(make_plan(), options=options, dimension=method.dimension, codec=codec.description())
    plan = replace(plan, sampling_rate=1.0, noise_multiplier=0.0)
    plan = replace(plan, arrays_digest=digest_arrays(Assets(codec).arrays()))
    found = [_sum(folder / f"{value}", plan, codec, value) for value in (0.0, math.nan)]
    assert float(found[0].norm()) > 0
    assert torch.equal(*found)


def _sum(path: Path, plan: Plan, codec: IdentityCodec, after: float) -> Tensor:
    """The clipped sum over people whose windows hold 20 samples of motion, and then `after`."""
    whole = make_users({"ann": 2, "bob": 1})
    raw = whole._raw.clone()
    raw[:, 20:] = after
    users = Users(whole.names, [0, 2, 3], raw, whole._labels, SENSOR, lengths=[20] * 3)
    method = build(plan.method, plan.options, Assets(codec))
    start = cast(Any, method).init(0)
    random = torch.Generator().manual_seed(1)
    arrays = {
        name: value + 0.3 * torch.randn(value.shape, generator=random)
        for name, value in cast(Any, method).broadcast(start).arrays.items()
    }
    with new_ledger(path, epsilon=math.inf, delta=0.5) as ledger, recording() as sums:
        gate = make_gate(ledger, users, seed=1, units=2)
        gate.accept(plan, Assets(codec).arrays())
        state = PublicState(0, arrays)
        gate.release(ask(plan, state), state)
    return sums[0]


def _accepts(gate: LocalGate, plan: Plan, arrays: dict[str, Tensor]) -> bool:
    try:
        gate.accept(replace(plan, arrays_digest=digest_arrays(arrays)), arrays)
    except Refusal:
        return False
    return True


def check_base(folder: Path) -> None:
    """A base with a parameter that the denoiser has not is refused before anything is reserved."""
    plan = make_plan(options={"train": "bias_norm"})
    arrays = assets_of(plan.method, plan.options).arrays()
    with new_ledger(folder / "l", epsilon=math.inf, delta=0.5) as ledger:
        gate, begun = make_gate(ledger, crowd(2)), ledger.entries()
        assert not _accepts(gate, plan, {**arrays, "base/more": torch.zeros(1)})
        assert ledger.entries() == begun
        assert _accepts(gate, plan, arrays)


def check_arrays(folder: Path) -> None:
    """Arrays that are no part of codec, text or base are not kept at a site."""
    plan = make_plan()
    with new_ledger(folder / "l", epsilon=math.inf, delta=0.5) as ledger:
        gate, begun = make_gate(ledger, crowd(2)), ledger.entries()
        for name in ("more", "codec/more", "text/labels"):
            assert not _accepts(gate, plan, {name: torch.zeros(2, 2)})
        assert ledger.entries() == begun


def check_cost(folder: Path) -> None:
    """A plan of which one person would fill the machine is refused before anything is reserved."""
    plan = make_plan(options={"motions": 64, "replicas": 64})
    with pytest.MonkeyPatch.context() as patch, new_ledger(folder / "l", delta=0.5, epsilon=9e9) as ledger:
        patch.setattr(cost, "_SMALL", 0)
        gate, begun = make_gate(ledger, crowd(2), units=1), ledger.entries()
        patch.setattr(cost, "memory", lambda device: 2**20)
        assert not _accepts(gate, plan, {})
        assert ledger.entries() == begun
        patch.setattr(cost, "memory", lambda device: 2**40)
        assert _accepts(gate, plan, {})


@dataclass(frozen=True, eq=False)
class _Moving(Rows):
    """Rows whose norms follow from how many there are: they clip otherwise."""

    def norms(self) -> Tensor:
        return super().norms() * (1 + 1e-15 * len(self.parts[0]))


def check_norms(_: Path) -> None:
    """Where a person's norm follows from how many are computed together, it is always as many."""
    rows = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    found = choice._widths(lambda _, given: _Moving([given["x"]]), {}, {"x": rows})
    assert found == (8,), "fewer than eight are filled up to eight"
    assert choice._widths(lambda _, given: Rows([given["x"].clone()]), {}, {"x": rows}) == (8, 4, 2, 1)


def check_damaged_windows(_: Path) -> None:
    """A window that cannot be encoded is its owner's loss alone."""
    real = SensorCodec.encode

    def strict(self: SensorCodec, windows: Tensor, labels: Tensor) -> Tensor:
        if bool(torch.isnan(windows).any()):
            raise ValueError("a window is damaged")
        return real(self, windows, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SensorCodec, "encode", strict)
        whole, harmed = (make_users({"ann": 3, "bad": 2, "bob": 2}) for _ in range(2))
        harmed._raw[3:5] = math.nan
        for users in (whole, harmed):
            users.encode(CODEC, "plan")
    kept = [0, 1, 2, 5, 6]
    assert torch.equal(whole._encoded["plan"][0][kept], harmed._encoded["plan"][0][kept])
    assert bool(torch.isnan(harmed._encoded["plan"][0][3:5]).all())


CHECKS = (
    check_captions, check_padding, check_base, check_arrays, check_cost, check_norms, check_damaged_windows,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_a_plan_and_people_bring_along_is_harmless(tmp_path: Path, check: Any) -> None:
    check(tmp_path)
