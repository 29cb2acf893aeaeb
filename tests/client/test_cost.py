"""A plan that no machine could compute is refused by arithmetic, before anything is reserved or allocated."""

from __future__ import annotations

import math
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from client.clipping.choice import _bytes_kept
from client.clipping.cost import cost, require_affordable
from client.clipping.step import Step
from common.errors import InputError, Refusal, RefusalCode
from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.identity_codec import IdentityCodec
from common.generator.scale import Scale
from common.generator.trainable import with_low_rank
from common.method import GradientMethod, PublicState, UserBatch, digest_arrays
from common.methods import build
from common.motion.sensors import SENSOR
from common.noise import PersonRandom
from common.plan import Plan
from common.vector import Layout
from tests.small_site import LABELS, crowd, make_gate, make_plan, new_ledger

ASSETS = Assets(IdentityCodec(LABELS, SENSOR, Scale.fixed(SENSOR)))
SMALL = {"width": 32, "depth": 2, "motions": 2, "replicas": 3}
DESIGNS: dict[str, dict[str, Any]] = {
    "mlp": {"denoiser": "mlp", **SMALL},
    "unet": {"denoiser": "unet", **SMALL},
    "transformer": {"denoiser": "transformer", **SMALL, "noise_levels": "cosine"},
    "lora": {"denoiser": "transformer", **SMALL, "train": "lora"},
}


def built(options: dict[str, Any]) -> tuple[GradientMethod, Step, Assets]:
    assets = ASSETS
    if options.get("train") == "lora":
        whole = build("dp_sgd", {**options, "train": "all"}, assets)
        assert isinstance(whole, GradientMethod)
        assets = replace(assets, base=with_low_rank(whole.parameters(whole.init(0)), 4, 0))
    method = build("dp_sgd", options, assets)
    assert isinstance(method, GradientMethod)
    return method, Step(method, Layout.of(method.parameters(method.init(0)))), assets


@pytest.mark.parametrize("design", DESIGNS)
def test_the_cost_without_numbers_is_near_the_real_one(design: str) -> None:
    method, step, assets = built(DESIGNS[design])
    place = (1, method.motions)
    labels = torch.zeros(place, dtype=torch.int64)
    batch = UserBatch(
        torch.zeros(*place, assets.codec.latent),
        Condition.of(labels, assets.codec.frames),
        torch.ones(place, dtype=torch.bool),
    )
    examples = method.examples(PublicState(0), batch, PersonRandom(bytes(32), ["ann"]))
    real = _bytes_kept(step, method.parameters(method.init(0)), examples) + 4 * step.dimension
    assert 0.9 * real <= cost(method, step, PublicState(0), assets.codec.latent, 0).size <= 2 * real


def planned(**changes: Any) -> Plan:
    options = {**DESIGNS["transformer"], **changes}
    method, _, assets = built(options)
    assert isinstance(method, GradientMethod)
    plan = replace(make_plan(), options=options, dimension=method.dimension)
    return replace(plan, codec=assets.codec.description(), arrays_digest=digest_arrays(assets.arrays()))


def test_a_plan_beyond_any_machine_is_refused_and_costs_neither_budget_nor_memory(tmp_path: Path) -> None:
    with new_ledger(tmp_path / "north.sqlite", epsilon=math.inf, delta=0.5) as ledger:
        gate, begun = make_gate(ledger, crowd(3)), ledger.entries()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(Refusal) as caught:
            gate.accept(planned(motions=1024, replicas=256, depth=8), ASSETS.arrays())
        assert caught.value.code is RefusalCode.UNAVAILABLE
        assert "one person takes" in str(caught.value)
        assert ledger.entries() == begun
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19  # KiB
        gate.accept(planned(), ASSETS.arrays())  # the control: the same design for few rows
        assert len(ledger.entries()) > len(begun)


def test_a_plan_of_too_many_operations_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    method, step, assets = built({**DESIGNS["transformer"], "motions": 1024})
    require_affordable(method, step, PublicState(0), assets, 3, "cpu")
    monkeypatch.setattr("client.clipping.cost._MOST_OPERATIONS", 10**9)
    with pytest.raises(InputError, match="operations"):
        require_affordable(method, step, PublicState(0), assets, 3, "cpu")
