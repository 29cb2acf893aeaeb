"""Two data sets that differ by one person: what one person can change, and what an observer can tell."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dp_accounting.pld import privacy_loss_distribution as pld
from torch import Tensor

from client.clipping.bound import Rows, clipped_sum
from client.clipping.keep import Keep
from client.mechanism import SampledGaussian
from common.noise import Source
from common.plan import Plan
from tests.clipping import rows_of
from tests.small_site import make_gate, make_plan, make_state, make_users, new_ledger

C = 0.5
ODD = {"width": 7, "depth": 2, "motions": 1, "replicas": 1}


def pre_noise_sums(
    folder: Path, plan: Plan, crowds: list[dict[str, int]], scale: float = 0.3, units: int = 64
) -> list[Tensor]:
    """The clipped sum of each crowd, recorded with the same draws: everything but the noise."""
    sums = []
    with new_ledger(folder / f"{len(list(folder.iterdir()))}.sqlite", epsilon=math.inf, delta=0.5) as ledger:
        gate = make_gate(ledger, make_users({}), seed=1, units=units)
        gate.accept(plan, {})
        opened = gate._accepted(plan.digest())
        mechanism = SampledGaussian(plan=plan, site="north", source=Source(1))
        state = make_state(plan, 1, scale)
        parameters = opened.method.parameters(state)
        for crowd in crowds:
            users = make_users(crowd)
            users.encode(opened.assets.codec, plan.digest())
            sums.append(gate._clipped_sum(users, state, parameters, opened, mechanism, 1, 0))
    return sums


def neighbours(pairs: int) -> list[dict[str, int]]:
    """Crowds in twos: the second has one person more, with 1 to 50 windows, at any place in the order."""
    draw, crowds = random.Random(0), []
    for pair in range(pairs):
        crowd = {f"{pair}-{i}": draw.randint(1, 6) for i in range(draw.choice([0, 1, 5, 30]))}
        items = list(crowd.items())
        items.insert(draw.randint(0, len(items)), (f"{pair}-new", draw.randint(1, 50)))
        crowds += [crowd, dict(items)]
    return crowds


def changes(sums: list[Tensor]) -> list[float]:
    return [float((more - less).norm()) for less, more in zip(sums[::2], sums[1::2], strict=True)]


def test_one_person_changes_the_sum_by_at_most_c_and_can_change_it_by_c(tmp_path: Path) -> None:
    plan = make_plan(sampling_rate=1.0, clip_norm=C)
    found = changes(pre_noise_sums(tmp_path, plan, neighbours(40)))
    assert max(found) <= C
    assert max(found) >= 0.99 * C


def test_under_sampling_one_person_changes_the_sum_by_at_most_c(tmp_path: Path) -> None:
    """The new person comes last, so that the same draws take the same others."""
    plan = make_plan(sampling_rate=0.5, clip_norm=C)
    crowds = []
    for pair in range(20):
        crowd = {f"{pair}-{i}": 1 + i % 4 for i in range(pair)}
        crowds += [crowd, crowd | {f"{pair}-new": 9}]
    found = changes(pre_noise_sums(tmp_path, plan, crowds))
    assert max(found) <= C
    assert min(found) == 0  # not drawn
    assert max(found) >= 0.99 * C


def test_control_without_the_clip_one_person_changes_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.clipping.bound.clip_factors", lambda norms, clip_norm: torch.ones_like(norms))
    plan = make_plan(sampling_rate=1.0, clip_norm=C)
    assert max(changes(pre_noise_sums(tmp_path, plan, neighbours(10)))) > 2 * C


class Hashed(Keep):
    """Gradients of a model that a malicious server built to amplify the last bits: here, their hash."""

    def __call__(self, parameters: Any, examples: Any) -> Rows:
        found = rows_of(super().__call__(parameters, examples), len(examples["mask"]))
        odd = found.contiguous().view(torch.int32).sum(dim=1, keepdim=True) % 2
        return Rows([torch.where(odd == 0, torch.ones_like(found), -torch.ones_like(found))])


def test_a_model_that_amplifies_last_bits_still_tells_one_person_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matrix kernels give some shapes other bits at other places; then units are computed alone."""
    hashed(monkeypatch)
    crowd = {f"{i}": 1 + i % 3 for i in range(40)}
    for options in ({}, ODD):
        plan = make_plan(sampling_rate=1.0, clip_norm=C, options=options)
        sums = pre_noise_sums(tmp_path, plan, [crowd, {"new": 2} | crowd])
        assert max(changes(sums)) <= C


def hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.clipping.choice.Keep", Hashed)
    monkeypatch.setattr("client.clipping.choice._agrees", lambda *_: True)


def test_control_with_chunks_where_places_matter_it_moves_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed(monkeypatch)
    monkeypatch.setattr("client.clipping.choice._bits", lambda *_: [])
    crowd = {f"{i}": 1 + i % 3 for i in range(40)}
    plan = make_plan(sampling_rate=1.0, clip_norm=C, options=ODD)
    sums = pre_noise_sums(tmp_path, plan, [crowd, {"new": 2} | crowd])
    if max(changes(sums)) <= C:
        pytest.skip("this machine's kernels treat all places alike")


EPSILON, DRAWS = 1.0, 3000


def advantage(releases: Any) -> float:
    """The largest P[release > t | person in] - e^epsilon P[release > t | person out] observed."""
    inside, outside = releases(1), releases(0)
    grid = np.linspace(-3, 6, 181)
    above = [[float((values > t).mean()) for t in grid] for values in (inside, outside)]
    return float((np.array(above[0]) - math.exp(EPSILON) * np.array(above[1])).max())


def world(source: Source, plan: Plan, value: float) -> Any:
    """Releases of one coordinate from a site with nobody, or with one person whose row is `value`."""
    mechanism = SampledGaussian(plan=plan, site="north", source=source)
    row = torch.tensor([[value]])

    def releases(people: int) -> np.ndarray[Any, Any]:
        found = []
        for _ in range(DRAWS):
            drawn = mechanism.sample(people, 1, 0)
            clipped = clipped_sum(
                lambda units: Rows([row.expand(len(units), 1)]), drawn, 1, plan.clip_norm, [1]
            )
            found.append(float(clipped + mechanism.noise(1, 0)))
        return np.array(found)

    return releases


def allowed(plan: Plan) -> float:
    """delta at EPSILON by the accountant, and what 3,000 draws may add to it."""
    loss = pld.from_gaussian_mechanism(plan.noise_multiplier, sampling_prob=plan.sampling_rate)
    return float(loss.get_delta_for_epsilon(EPSILON)) + 5 * (1 + math.exp(EPSILON)) * 0.3 / math.sqrt(DRAWS)


HOCKEY = make_plan(clip_norm=1.0, noise_multiplier=1.0, sampling_rate=0.5, dimension=1)


def test_releases_with_and_without_one_person_are_as_close_as_the_accountant_says() -> None:
    assert advantage(world(Source(), HOCKEY, 50.0)) <= allowed(HOCKEY)


@pytest.mark.parametrize("sabotage", ["half the noise", "no clip", "one seed for all rounds", "no noise"])
def test_control_a_weakened_mechanism_is_told_apart(sabotage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = Source(), SampledGaussian.noise
    if sabotage == "half the noise":
        monkeypatch.setattr(SampledGaussian, "noise", lambda *a: real(*a) / 2)
    elif sabotage == "no noise":
        monkeypatch.setattr(SampledGaussian, "noise", lambda *a: real(*a) * 0)
    elif sabotage == "no clip":
        monkeypatch.setattr(
            "client.clipping.bound.clip_factors", lambda norms, clip_norm: torch.ones_like(norms)
        )
    else:
        source = Source(1)
        monkeypatch.setattr(SampledGaussian, "sample", lambda self, units, *a: list(range(units)))
    assert advantage(world(source, HOCKEY, 50.0)) > allowed(HOCKEY)


def test_the_gate_sums_over_the_sample_it_drew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One draw of the sampler a step, of all units, at the plan's rate."""
    calls = []
    real = SampledGaussian.sample

    def sample(self: SampledGaussian, units: int, round: int, step: int) -> list[int]:
        calls.append((units, self.plan.sampling_rate))
        return real(self, units, round, step)

    monkeypatch.setattr(SampledGaussian, "sample", sample)
    plan = make_plan(sampling_rate=0.25)
    pre_noise_sums(tmp_path, plan, [{"a": 1, "b": 2}])
    assert calls == [(2, 0.25)]
