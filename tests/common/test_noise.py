"""Sampling and noise: ranges, keys, the public grid, and draws of persons that are theirs alone.

Their distributions are in tests/attacks/test_sampler.py and test_noise_streams.py.
"""

from __future__ import annotations

import math

import torch

from common.noise import GRID, PersonRandom, Source, Stream, gaussian, on_grid, poisson_sample

KEY = bytes(range(32))


def test_noise_is_finite_at_the_ends_of_the_uniform_range() -> None:
    assert bool(torch.isfinite(gaussian(Stream(KEY), 1e6 * 1e6, 10_000)).all())
    uniform = Stream(KEY).uniform(1_000_000)
    assert 0 < float(uniform.min()) < float(uniform.max()) < 1


def test_a_rate_of_one_draws_everybody() -> None:
    assert poisson_sample(Stream(KEY), 5, 1.0) == [0, 1, 2, 3, 4]
    assert poisson_sample(Stream(KEY), 0, 0.5) == []


def test_keys_from_the_operating_system_never_repeat() -> None:
    source = Source()
    keys = {source.key("noise", "site", "run", 1, 0) for _ in range(10_000)}
    assert len(keys) == 10_000


def test_seeded_keys_differ_by_purpose_site_run_round_and_step() -> None:
    source = Source(1)
    purposes = [(p, s, r, n, t) for p in ("noise", "sample") for s in "ab" for r in "xy" for n in (1, 2)
                for t in (0, 1)]  # fmt: skip
    assert len({source.key(*purpose) for purpose in purposes}) == len(purposes)
    assert source.key("noise", "a", 11, 1) != source.key("noise", "a", 1, 11)


def test_released_values_lie_on_a_public_grid() -> None:
    """Whatever the sum was: multiples of one power of two, moved by less than 5e-7 of the deviation."""
    std = 0.37
    step = 2.0 ** math.floor(math.log2(GRID * std))
    noise = gaussian(Stream(KEY), std, 10_000)
    for offset in (0.0, 1e-9, 1 / 3, 1e6):
        found = on_grid(noise + offset, std)
        steps = found / step
        assert torch.equal(steps, torch.round(steps))
        assert float((found - noise - offset).abs().max()) <= step / 2 < 5e-7 * std


def fine_bits(noised: torch.Tensor) -> int:
    """How many values of a release are finer than a sum with 1/3 in it could be in double precision."""
    return int((torch.remainder(noised.to(torch.float32).to(torch.float64), 2.0**-54) != 0).sum())


def test_small_values_do_not_tell_what_was_cancelled() -> None:
    """Noise that nearly cancels a contribution: the sum is coarse, noise alone is fine."""
    tiny = gaussian(Stream(KEY), 1e-15, 1000)
    alone, cancelled = tiny, (tiny - 1 / 3) + 1 / 3
    assert fine_bits(alone) > 900 and fine_bits(cancelled) == 0  # the leak, without the grid
    assert fine_bits(on_grid(alone, 1.0)) == fine_bits(on_grid(cancelled, 1.0)) == 0


def test_no_noise_has_no_grid() -> None:
    total = torch.tensor([1 / 3], dtype=torch.float64)
    assert torch.equal(on_grid(total, 0.0), total)


def test_a_persons_draws_do_not_depend_on_who_else_is_there() -> None:
    together = PersonRandom(KEY, ["ann", "bob", "eve"])
    alone = PersonRandom(KEY, ["bob"])
    assert torch.equal(together.normal(7, 3)[1], alone.normal(7, 3)[0])
    assert torch.equal(together.uniform(5)[1], alone.uniform(5)[0])
    longer = PersonRandom(KEY, ["bob"]).uniform(9)[0]
    assert torch.equal(PersonRandom(KEY, ["bob"]).uniform(5)[0], longer[:5])


def test_persons_calls_and_keys_have_streams_of_their_own() -> None:
    rng = PersonRandom(KEY, ["ann", "bob", "0|ann"])
    first, second = rng.uniform(4), rng.uniform(4)
    other = PersonRandom(bytes(32), ["ann"]).uniform(4)
    rows = {tuple(row) for row in torch.cat([first, second, other]).tolist()}
    assert len(rows) == 7
