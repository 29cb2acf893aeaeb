"""A site takes a plan's pre-trained base only if it is of the plan's design, and rounds of its part only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from client.ledger import Ledger
from common.errors import Refusal, RefusalCode
from common.method import PublicState, digest_arrays
from common.plan import Plan
from tests.small_site import ask, assets_of, crowd, make_gate, make_plan, make_state, new_ledger

Change = Callable[[dict[str, Tensor]], object]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path / "north.sqlite", epsilon=math.inf, delta=0.5) as ledger:
        yield ledger


def planned(train: str, change: Change = lambda _: None) -> tuple[Plan, dict[str, Tensor]]:
    """A plan and its arrays, changed before the plan names them."""
    plan = make_plan(options={"train": train})
    arrays = assets_of(plan.method, plan.options).arrays()
    change(arrays)
    return replace(plan, arrays_digest=digest_arrays(arrays)), arrays


BROKEN: dict[str, Change] = {
    "missing": lambda arrays: arrays.pop("base/input.weight"),
    "unknown": lambda arrays: arrays.update({"base/more": torch.zeros(1)}),
    "shape": lambda arrays: arrays.update({"base/input.bias": torch.zeros(3)}),
    "dtype": lambda arrays: arrays.update({"base/input.bias": torch.zeros(16, dtype=torch.float64)}),
    "nan": lambda arrays: arrays.update({"base/input.bias": torch.full((16,), torch.nan)}),
    "factor": lambda arrays: arrays.update({"base/block0.weight.A": torch.zeros(5, 16)}),
    "none": lambda arrays: arrays.clear(),
}


@pytest.mark.parametrize("harm", BROKEN)
def test_a_base_of_another_design_is_refused_before_anything_is_reserved(ledger: Ledger, harm: str) -> None:
    gate, begun = make_gate(ledger, crowd(3)), ledger.entries()
    with pytest.raises(Refusal) as caught:
        gate.accept(*planned("lora", BROKEN[harm]))
    assert caught.value.code is RefusalCode.MALFORMED
    assert ledger.entries() == begun
    gate.accept(*planned("lora"))  # the control: the same base, unharmed
    assert len(ledger.entries()) > len(begun)


@pytest.mark.parametrize("train", ["lora", "bias_norm", "condition"])
def test_a_round_carries_the_part_that_is_trained_and_nothing_frozen(ledger: Ledger, train: str) -> None:
    plan, arrays = planned(train)
    gate = make_gate(ledger, crowd(3))
    gate.accept(plan, arrays)
    state = make_state(plan, 1)
    assert sum(value.numel() for value in state.arrays.values()) == plan.dimension
    frozen = {"parameters/output.weight": arrays["base/output.weight"]}
    for given in ({**state.arrays, **frozen}, dict(list(state.arrays.items())[1:])):
        wrong = PublicState(0, given)
        with pytest.raises(Refusal) as caught:
            gate.release(ask(plan, wrong), wrong)
        assert caught.value.code is RefusalCode.MALFORMED
    assert ledger.events() == []
    gate.release(ask(plan, state), state)
    assert ledger.events() == [plan.event()]
