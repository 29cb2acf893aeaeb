"""What somebody should know beforehand is said beforehand, and nothing where nothing is unusual."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from client.site import BudgetTable, SiteFile
from common.plan import Plan
from simulations.corpus import Corpus
from simulations.notes import notes
from tests.small_site import make_plan

SKELETON = {"modality": {"kind": "skeleton"}}
PLAN = make_plan(labels=("climb", "walk"), codec=SKELETON, noise_multiplier=1.0, rounds=100, dimension=100)
PUBLIC = Corpus(torch.zeros(3, 61, 22, 3), torch.tensor([1, 0, 1]))


def sites(*populations: int) -> list[SiteFile]:
    budget = BudgetTable(epsilon=8.0, delta=1e-5)
    return [
        SiteFile(name=f"s{number}", ledger=Path("l"), unit="user", methods=("dp_sgd",),
                 declared_population=people, budget=budget)
        for number, people in enumerate(populations)
    ]  # fmt: skip


def test_an_ordinary_run_has_no_notes() -> None:
    assert notes(PLAN, sites(500, 500), PUBLIC) == []


def test_a_small_group_and_a_label_without_motions_are_noted() -> None:
    few = Corpus(PUBLIC.windows, torch.tensor([1, 1, 2]))  # 2: no label
    first, second = notes(PLAN, sites(1, 1), few)
    assert "with 2 people" in first and "times the signal" in first
    assert "labelled climb:" in second and "--public" in second


@pytest.mark.parametrize("labels", [(), ("walk",)])
def test_sensors_have_no_public_motions_to_miss(labels: tuple[str, ...]) -> None:
    codec = {"modality": {"kind": "sensor"}}
    plan: Plan = make_plan(labels=labels, codec=codec, noise_multiplier=1.0, rounds=100, dimension=100)
    assert notes(plan, sites(500), None) == []
    (line,) = notes(plan, sites(1), None)
    assert "noise rather than motion" in line and "public" not in line
