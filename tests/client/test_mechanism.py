"""Sampler, noise and event of a plan come from one object and agree."""

from __future__ import annotations

import pytest
import torch

from client.mechanism import SampledGaussian
from common.noise import Source
from tests.small_site import make_plan


def mechanism(seed: int | None = None, **changes: object) -> SampledGaussian:
    return SampledGaussian(plan=make_plan(**changes), site="north", source=Source(seed))


def test_a_site_under_local_trust_adds_the_full_noise() -> None:
    noise = torch.cat([mechanism(clip_norm=0.2).noise(1, 0) for _ in range(40)])
    assert float(noise.std()) == pytest.approx(0.4, rel=0.02)


def test_a_site_under_central_trust_adds_none() -> None:
    assert float(mechanism(trust="central").noise(1, 0).abs().max()) == 0


def test_rounds_and_steps_never_share_draws() -> None:
    for seed in (None, 1):
        draws = mechanism(seed)
        noises = [draws.noise(round, step)[:4] for round in (1, 2) for step in (0, 1)]
        assert len({tuple(noise.tolist()) for noise in noises}) == 4


def test_without_a_seed_the_same_round_draws_afresh() -> None:
    draws = mechanism()
    assert not torch.equal(draws.noise(1, 0), draws.noise(1, 0))
    assert draws.person_key(1, 0) != draws.person_key(1, 0)
    assert draws.draw_key(1) != draws.draw_key(1)


def test_kept_keys_repeat_every_draw_of_a_round() -> None:
    draws = mechanism()
    key = draws.draw_key(3)
    first, again = draws.repeating(key), draws.repeating(key)
    assert first.sample(50, 3, 0) == again.sample(50, 3, 0)
    assert first.person_key(3, 0) == again.person_key(3, 0)
    assert first.person_key(3, 0) != draws.repeating(draws.draw_key(3)).person_key(3, 0)
    assert len(key) == 32
