"""Noise is Gaussian at the stated width, and no two draws share a stream: forks, threads, rounds (T8)."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, norm

from client.mechanism import SampledGaussian
from common.noise import PersonRandom, Source, Stream, gaussian
from common.vector import Vector
from server.aggregate import Sum
from tests.small_site import ask, crowd, make_gate, make_plan, make_state, new_ledger

KEY = bytes(range(32))
STD = 3.0


def check(draws: Vector) -> None:
    """Variance within 0.6 % at 10^6 draws (in proportion below), chi-square over 100 bins, no repetition."""
    values = draws / STD
    allowed = 0.006 * (1e6 / len(values)) ** 0.5
    assert abs(float(values.square().mean()) - 1) < allowed
    assert abs(float(values.mean())) < 4 / len(values) ** 0.5
    edges = norm.ppf(np.linspace(0, 1, 101)[1:-1])
    counts = np.bincount(np.searchsorted(edges, values.numpy()), minlength=100)
    assert float(chisquare(counts).pvalue) > 1e-6
    assert len(torch.unique(values)) == len(values)
    half = len(values) // 2  # halves of a Box-Muller pair must not be related
    assert abs(float((values[:half] * values[half : 2 * half]).mean())) < 4 / half**0.5


def test_noise_has_the_stated_deviation_and_the_normal_shape() -> None:
    check(gaussian(Stream(KEY), STD, 200_000))


@pytest.mark.attack
def test_a_million_draws_have_the_stated_deviation_and_the_normal_shape() -> None:
    check(gaussian(Stream(Source().key("test")), STD, 1_000_000))


def seeded(count: int) -> Vector:
    """A common shortcut: every round starts torch's generator at the same seed."""
    rounds = [torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))] * (
        count // 1000
    )
    return torch.cat(rounds) * STD


@pytest.mark.parametrize(
    "sabotaged",
    [
        lambda count: gaussian(Stream(KEY), STD / 2, count),
        lambda count: torch.cat([gaussian(Stream(KEY), STD, count // 2)] * 2),
        lambda count: torch.cat([gaussian(Stream(Source(1).key("n")), STD, 1000)] * (count // 1000)),
        seeded,
    ],
    ids=["half the deviation", "a stream read twice", "one key for all rounds", "torch with a fixed seed"],
)  # fmt: skip
def test_control_weaker_noise_is_noticed(sabotaged: Callable[[int], Vector]) -> None:
    with pytest.raises(AssertionError):
        check(sabotaged(200_000))


def worker(_: int) -> bytes:
    """What a forked worker draws for one and the same round."""
    mechanism = SampledGaussian(plan=make_plan(dimension=64), site="north", source=SOURCE)
    return mechanism.noise(1, 0).numpy().tobytes()


SOURCE = Source()
STREAM = Stream(KEY)


def test_sixty_four_forked_workers_share_no_noise() -> None:
    """The source was made before the fork, and every worker draws for the same round."""
    with multiprocessing.get_context("fork").Pool(8, maxtasksperchild=8) as pool:
        rows = pool.map(worker, range(64), chunksize=1)
    values = np.frombuffer(b"".join(rows), dtype=np.float64)
    assert len(np.unique(values)) == 64 * 64


def test_control_workers_with_a_seed_share_their_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.attacks.test_noise_streams.SOURCE", Source(1))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        rows = pool.map(worker, range(8), chunksize=1)
    assert len(set(rows)) == 1


def in_a_child(action: Callable[[], bytes]) -> bytes:
    """What `action` returns, or the name of what it raises, in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, action())
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read()


def test_a_stream_opened_before_a_fork_is_of_no_use_in_the_child() -> None:
    """Else parent and child would add the same noise to two sums."""
    stream = Stream(KEY)
    stream.words(10)
    assert in_a_child(lambda: stream.words(4).tobytes()) == b"RuntimeError"
    assert in_a_child(lambda: in_a_child(lambda: stream.words(4).tobytes())) == b"RuntimeError"
    assert in_a_child(lambda: Stream(KEY).words(1).tobytes()) == Stream(KEY).words(1).tobytes()
    assert len(stream.words(4)) == 4


def test_control_without_that_rule_parent_and_child_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "_bytes", lambda self, count: self._encryptor.update(bytes(count)))
    stream = Stream(KEY)
    assert in_a_child(lambda: stream.words(4).tobytes()) == stream.words(4).tobytes()


def test_threads_on_one_stream_never_read_the_same_words() -> None:
    stream = Stream(KEY)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: stream.words(1000), range(200)))
    words = np.concatenate(parts)
    assert len(np.unique(words)) == len(words)
    assert set(words.tolist()) == set(Stream(KEY).words(200_000).tolist())


def test_threads_on_one_mechanism_share_no_noise() -> None:
    mechanism = SampledGaussian(plan=make_plan(dimension=64), site="north", source=Source())
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: mechanism.noise(1, 0), range(64)))
    assert len(torch.unique(torch.cat(rows))) == 64 * 64


Keys = tuple[list[bytes], list[bytes]]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Keys of streams, and keys of persons' draws but for the zeros of public probes, as they are used."""
    streams: list[bytes] = []
    persons: list[bytes] = []
    stream, person = Stream.__init__, PersonRandom.__init__

    def open_stream(self: Stream, key: bytes) -> None:
        streams.append(key)
        stream(self, key)

    def open_persons(self: PersonRandom, key: bytes, names: Sequence[str]) -> None:
        if key != bytes(32) and persons[-1:] != [key]:
            persons.append(key)
        person(self, key, names)

    monkeypatch.setattr(Stream, "__init__", open_stream)
    monkeypatch.setattr(PersonRandom, "__init__", open_persons)
    return streams, persons


@pytest.mark.parametrize(("trust", "steps"), [("local", 1), ("local", 3), ("central", 1)])
def test_no_key_serves_two_rounds_or_two_purposes(keys: Keys, tmp_path: Path, trust: str, steps: int) -> None:
    """Four rounds of a site and the mean over it: the sample, the persons and the noise, all apart."""
    plan = make_plan(trust=trust, steps_per_round=steps, rounds=4, sampling_rate=0.999)
    with new_ledger(tmp_path / "ledger.sqlite") as ledger:
        gate = make_gate(ledger, crowd(6))
        gate.accept(plan, {})
        for round in range(1, 5):
            state = make_state(plan, round)
            release = gate.release(ask(plan, state), state)
            total = Sum(plan.dimension)
            total.add(release, 20)
            total.mean(plan, Source(), round)
    streams, persons = keys
    assert len(streams) == 4 * (2 * steps + (trust == "central"))
    assert len(persons) == 4 * steps
    assert len({*streams, *persons}) == len(streams) + len(persons)


def test_control_a_source_that_forgets_the_round_is_noticed(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "key", lambda self, purpose, *rest: purpose.encode().ljust(32))
    plan = make_plan(rounds=4)
    with new_ledger(tmp_path / "ledger.sqlite") as ledger:
        gate = make_gate(ledger, crowd(6))
        gate.accept(plan, {})
        for round in (1, 2):
            state = make_state(plan, round)
            gate.release(ask(plan, state), state)
    assert len(set(keys[0])) < len(keys[0])
