"""What every method keeps to behind the gate, whatever it computes from one person's data.

A check takes a folder, a method and an engine, so that `tests/attacks/test_sabotaged_builds.py`
can put the same checks to builds without a defence. A new method is one line in tests/small_methods.py.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from client.mechanism import SampledGaussian
from client.users import Users
from common.accounting import epsilon
from common.generator.trainable import CHOICES
from common.method import GradientMethod, PublicState, UserBatch, UserRandom, VectorMethod
from common.methods import DEFAULT, NAMES
from common.noise import PersonRandom, Source
from common.plan import Plan
from common.wire import decode_release, encode_release
from tests.recording import World, recording
from tests.small_methods import CASES, METHODS, PARTS, C, law_plan, takes_steps
from tests.small_site import (
    CODEC,
    POPULATION,
    ask,
    crowd,
    make_state,
    make_users,
    method_of,
)

HUGE = 1e6
SEED = 1


each = pytest.mark.parametrize(("method", "engine"), CASES)


def test_no_method_escapes_the_laws() -> None:
    assert {method.split("/")[0] for method in METHODS} == set(NAMES)
    assert set(PARTS) | {"all", "attention"} == set(CHOICES), "this network has no attention"


def dealt(windows: int, sites: int, draw: random.Random) -> list[int]:
    """One person's windows over so many sites, at least one each."""
    cuts = sorted(draw.sample(range(1, windows), sites - 1))
    return [stop - start for start, stop in itertools.pairwise([0, *cuts, windows])]


def check_sensitivity(folder: Path, method: str, engine: str, pairs: int, rate: float = 1.0) -> None:
    """T3: one person with 5 to 200 clips at 1 to 5 sites, anywhere in the order, moves each sum by C at most.

    Under sampling the new person stands last, so that the same draws take the same others.
    """
    draw, found = random.Random(0), []
    plan = law_plan(method, noise_multiplier=0.0, sampling_rate=rate, rounds=5 * pairs)
    less, more = (World(folder / name, plan, SEED, engine) for name in ("less", "more"))
    rounds = itertools.count(1)
    for pair in range(pairs):
        for windows in dealt(draw.randint(5, 200), draw.choice([1, 1, 1, 2, 5]), draw):
            people = {f"{pair}-{i}": draw.randint(1, 6) for i in range(draw.choice([0, 1, 3, 20]))}
            items = list(people.items())
            items.insert(draw.randint(0, len(items)) if rate == 1 else len(items), ("new", windows))
            round = next(rounds)
            before = less.sum(make_users(people), round)
            after = more.sum(make_users(dict(items)), round)
            found.append(float((after - before).norm()))
    less.ledger.close()
    more.ledger.close()
    assert max(found) <= C
    assert max(found) >= 0.99 * C, "vacuous: nobody came near the bound"


@each
def test_adding_or_removing_one_person_moves_the_sum_by_c_at_most(
    tmp_path: Path, method: str, engine: str
) -> None:
    check_sensitivity(tmp_path, method, engine, pairs=60 if method == DEFAULT else 10)


@pytest.mark.attack
@pytest.mark.timeout(600)
@each
def test_sensitivity_over_three_hundred_pairs(tmp_path: Path, method: str, engine: str) -> None:
    check_sensitivity(tmp_path, method, engine, pairs=300)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rate", [1.0, 0.5])
@each
def test_sensitivity_over_a_thousand_pairs(tmp_path: Path, method: str, engine: str, rate: float) -> None:
    check_sensitivity(tmp_path, method, engine, pairs=1000, rate=rate)


def with_broken(people: dict[str, int], value: float) -> Users:
    """Everyone whose name starts with `bad` has `value` somewhere in each window."""
    users = make_users(people)
    for unit, name in enumerate(users.names):
        if name.startswith("bad"):
            users._raw[users._starts[unit] : users._starts[unit + 1], 0] = value
    return users


def raise_on_nan(method: str, patch: pytest.MonkeyPatch) -> None:
    """A method that cannot compute with a broken person, and says so for the whole batch."""
    method = method.split("/")[0]
    real: Any = NAMES[method].examples

    def examples(self: Any, state: PublicState, users: UserBatch, rng: UserRandom) -> Any:
        if bool(torch.isnan(users.latents).any()):
            raise ValueError("a window is damaged")
        return real(self, state, users, rng)

    patch.setattr(NAMES[method], "examples", examples)


BROKEN: dict[str, tuple[float, bool]] = {"nan": (math.nan, False), "raises": (math.nan, True)}


def check_isolation(folder: Path, method: str, engine: str, harm: str = "nan") -> None:
    """A person's contribution is the same to the bit beside any number of broken people, in any order.

    With neighbours who count as nothing, the sum is that person's own row.
    """
    value, raises = BROKEN[harm]
    plan = law_plan(method, noise_multiplier=0.0, sampling_rate=1.0)
    companies = [["bad1", "ann"], ["ann", "bad1", "bad2"], [f"bad{i}" for i in range(70)]]
    companies[2].insert(40, "ann")
    with pytest.MonkeyPatch.context() as patch:
        if raises:
            raise_on_nan(method, patch)
        alone = World(folder / "alone", plan, SEED, engine).sum(make_users({"ann": 3}))
        assert float(alone.norm()) > 0
        for number, company in enumerate(companies):
            world = World(folder / f"{number}", plan, SEED, engine)
            people = with_broken({name: 3 if name == "ann" else 2 for name in company}, value)
            assert torch.equal(world.sum(people), alone), f"{harm}: neighbours moved a person's row"
        nobody = World(folder / "nobody", plan, SEED, engine)
        assert not bool(nobody.sum(with_broken({"bad1": 2, "bad2": 9}, value)).any())


@pytest.mark.parametrize("harm", BROKEN)
@each
def test_broken_neighbours_change_no_bit_of_a_persons_contribution(
    tmp_path: Path, method: str, engine: str, harm: str
) -> None:
    check_isolation(tmp_path, method, engine, harm)


def check_company(folder: Path, method: str, engine: str) -> None:
    """Beside other people, other data of theirs, giants among them, or another order: the same row.

    Recovered as a difference of float64 sums, so to their rounding (1e-12) and not to the bit; a
    row that moved in its last float32 bit would differ by 1e-8.
    """
    plan = law_plan(method, noise_multiplier=0.0, sampling_rate=1.0)
    company = {"bob": 2, "cid": 60, "eve": 1}
    crowds = [make_users(company), make_users(company, seed=7), make_users(company), crowd(70)]
    crowds[2]._raw *= 1e30
    own = World(folder / "own", plan, SEED, engine).sum(make_users({"ann": 3}))
    for number, others in enumerate(crowds):
        without = World(folder / f"{number}-without", plan, SEED, engine).sum(others)
        for place in ("first", "last"):
            together = joined(make_users({"ann": 3}), others, place)
            with_ann = World(folder / f"{number}-{place}", plan, SEED, engine).sum(together)
            assert float((with_ann - without - own).norm()) <= 1e-10


def joined(one: Users, others: Users, place: str) -> Users:
    pair = (one, others) if place == "first" else (others, one)
    counts = [int(n) for users in pair for n in users._starts.diff()]
    starts = [0, *itertools.accumulate(counts)]
    raw = torch.cat([users._raw for users in pair])
    labels = [label for users in pair for label in users._labels]
    return Users([name for users in pair for name in users.names], starts, raw, labels, one.modality)


@each
def test_other_people_their_data_and_the_order_move_nobodys_contribution(
    tmp_path: Path, method: str, engine: str
) -> None:
    check_company(tmp_path, method, engine)


def check_empty(folder: Path, method: str, engine: str) -> None:
    """T2: nobody there, nobody drawn, one, many: a vector of one length, noised and charged alike."""
    plan = law_plan(method, sampling_rate=1e-6)
    crowds: list[tuple[Plan, int]] = [(plan, 0), (plan, 40), (replace(plan, sampling_rate=0.5), 1)]
    for number, (asked, count) in enumerate([*crowds, (replace(plan, sampling_rate=0.5), 40)]):
        world = World(folder / f"{number}", asked, None, engine)
        total = world.release(crowd(count)).total
        assert total.shape == (plan.dimension,)
        chance = max(0.15, 5 / math.sqrt(2 * plan.dimension))  # five deviations of a deviation
        people = C * count * (asked.sampling_rate > 1e-3) / math.sqrt(plan.dimension)  # at most, all alike
        most = math.hypot(plan.noise_std, people)
        assert (1 - chance) * plan.noise_std <= float(total.std()) <= (1 + chance) * most
        assert world.ledger.events() == [asked.event()]


@each
def test_an_empty_sample_is_released_like_any_other(tmp_path: Path, method: str, engine: str) -> None:
    check_empty(tmp_path, method, engine)


@each
def test_a_release_crosses_the_wire_unchanged(tmp_path: Path, method: str, engine: str) -> None:
    plan = law_plan(method)
    sent = World(tmp_path / "l", plan, None, engine).release(crowd(5))
    got = decode_release(encode_release(sent), ask(plan, make_state(plan, 1)), plan)
    assert got.total.numpy().tobytes() == sent.total.numpy().tobytes()
    assert (got.site, got.charge, got.query_digest) == (sent.site, sent.charge, sent.query_digest)


def plain_sum(
    plan: Plan, state: PublicState, parameters: dict[str, Tensor], people: Users, step: int
) -> Tensor:
    """The sum over people, one by one, of their vectors or of plain autograd's gradients, `[dimension]`."""
    method = method_of(plan)
    key = SampledGaussian(plan=plan, site="north", source=Source(SEED)).person_key(1, step)
    people.encode(CODEC, "plain")
    total = torch.zeros(plan.dimension)
    for unit, name in enumerate(people.names):
        rng = PersonRandom(key, [name])
        examples = method.examples(state, people.batch([unit], method.motions, rng, "plain"), rng)
        if isinstance(method, VectorMethod):
            total += method.contributions(parameters, examples)[0]
            continue
        assert isinstance(method, GradientMethod)
        leaves = {n: parameters[n].clone().requires_grad_() for n in sorted(parameters)}
        parts = torch.autograd.grad(method.loss(leaves, examples).sum(), list(leaves.values()))
        total += torch.cat([part.flatten() for part in parts])
    return total


def check_non_private(folder: Path, method: str, engine: str, steps: int) -> None:
    """With C huge and no noise the site takes the plain full-batch step, and the same local steps."""
    plan = replace(
        law_plan(method, noise_multiplier=0.0, sampling_rate=1.0, steps_per_round=steps), clip_norm=HUGE
    )
    with recording() as sums:
        total = World(folder / "l", plan, SEED, engine).release(crowd(12)).total
    rule, state = method_of(plan), make_state(plan, 1)
    parameters = dict(rule.parameters(state))
    expected = torch.zeros(plan.dimension)
    for step in range(steps):
        found = plain_sum(plan, state, parameters, crowd(12), step)
        expected += found / steps
        if isinstance(rule, GradientMethod):
            parameters = rule.local_step(parameters, found / POPULATION)
    assert len(sums) == steps
    assert float(expected.norm()) > 1
    assert float((total - expected).norm()) <= 1e-4 * float(expected.norm())


@pytest.mark.parametrize(
    ("method", "engine", "steps"),
    [
        pytest.param(*case.values, steps, marks=case.marks)
        for case in CASES
        for steps in (1, 3)
        if steps == 1 or takes_steps(str(case.values[0]))
    ],
)
def test_without_clip_and_noise_it_is_its_non_private_version(
    tmp_path: Path, method: str, engine: str, steps: int
) -> None:
    check_non_private(tmp_path, method, engine, steps)


def check_claim(folder: Path, method: str, engine: str) -> None:
    """Epsilon from the ledger's events is the claim of the plan to the bit, and less before its end."""
    plan = law_plan(method, rounds=3, steps_per_round=2 if takes_steps(method) else 1)
    world = World(folder / "l", plan, None, engine)
    claim = epsilon([plan.reserved()], plan.delta)
    for round in (1, 2, 3):
        assert epsilon(world.ledger.events(), plan.delta) < claim
        world.release(crowd(4), round)
        world.release(crowd(4), round)  # a repeat costs nothing
    assert epsilon(world.ledger.events(), plan.delta) == claim
    assert math.isfinite(claim)


@each
def test_epsilon_from_the_ledger_is_what_the_plan_claimed(tmp_path: Path, method: str, engine: str) -> None:
    check_claim(tmp_path, method, engine)
