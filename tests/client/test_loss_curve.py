"""The training loss leaves only as one more coordinate of what is clipped, noised and charged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from common.plan import Plan
from tests.small_site import ask, crowd, make_gate, make_plan, make_state, new_ledger

PLAIN = make_plan(sampling_rate=1.0, noise_multiplier=0.0, clip_norm=0.01)
ASKED = replace(PLAIN, dimension=PLAIN.dimension + 1, loss_weight=0.002)


def totals(folder: Path, plan: Plan, rounds: int = 1) -> list[Tensor]:
    with new_ledger(folder / f"{plan.digest()}.sqlite", epsilon=float("inf")) as ledger:
        gate = make_gate(ledger, crowd(1), seed=3)
        gate.accept(plan, {})
        states = [make_state(plan, round) for round in range(1, rounds + 1)]
        return [gate.release(ask(plan, state), state).total for state in states]


def test_it_is_off_unless_the_plan_asks_for_it(tmp_path: Path) -> None:
    (total,) = totals(tmp_path, PLAIN)
    assert PLAIN.split(total)[1] is None


def test_gradient_and_loss_are_clipped_together(tmp_path: Path) -> None:
    (total,) = totals(tmp_path, ASKED)
    gradient, loss = ASKED.split(total)
    (plain,) = totals(tmp_path, PLAIN)
    assert 0.0099 <= float(total.norm()) <= 0.01
    assert loss is not None and loss > 0
    assert float(torch.nn.functional.cosine_similarity(gradient, plain, dim=0)) > 0.99999
    assert float(gradient.norm()) < float(plain.norm())


def test_its_noise_is_that_of_every_other_coordinate(tmp_path: Path) -> None:
    noisy = replace(ASKED, noise_multiplier=5.0)
    last = torch.stack([total[-1] for total in totals(tmp_path, noisy, rounds=8)])
    assert float(last.std()) == pytest.approx(noisy.noise_std, rel=0.8)
    assert float(last.std()) > 0.01
