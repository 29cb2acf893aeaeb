"""What a budget buys follows from public facts and grows in the right direction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.accounting import LARGEST_EPSILON, epsilon
from common.errors import InputError
from common.event import PrivacyEvent
from common.generator.denoisers.mlp import ResidualMLP
from common.methods.dp_sgd import DPSGD
from common.motion.population import BASIC_ACTIONS
from common.vector import Layout
from server.budget import MODEL, Question, answer, noise_in, small_group, verdict, with_parameters
from simulations.config import read_config
from tests.small_site import make_plan

QUESTION = Question(users=2000, epsilon=8.0, delta=None, rounds=50, sampling_rate=0.5, sites=4, trust="local")


def test_the_noise_keeps_the_promise_and_wastes_little_of_it() -> None:
    found = answer(QUESTION)
    event = PrivacyEvent(noise_multiplier=found["noise_multiplier"], sampling_rate=0.5, count=50)
    assert found["epsilon"] == epsilon([event], found["delta"])
    assert 7.9 < found["epsilon"] <= 8.0
    assert found["delta"] == 1e-5 and answer(replace(QUESTION, users=10**6))["delta"] == pytest.approx(1e-7)


def test_every_epsilon_comes_with_its_terms() -> None:
    found = answer(QUESTION)
    assert {"delta", "unit", "neighbouring", "accountant", "trust", "sites"} <= found.keys()


def test_more_people_and_fewer_sites_buy_more() -> None:
    usable = answer(QUESTION)["dimension_usable"]
    assert answer(replace(QUESTION, users=4000))["dimension_usable"] == pytest.approx(4 * usable, rel=0.01)
    assert answer(replace(QUESTION, sites=1))["dimension_usable"] == pytest.approx(4 * usable, rel=0.01)
    assert answer(replace(QUESTION, trust="central"))["dimension_usable"] == pytest.approx(
        4 * usable, rel=0.01
    )
    assert answer(replace(QUESTION, epsilon=1.0))["dimension_usable"] < usable


def test_the_advice_is_honest_about_few_people() -> None:
    assert "no gradient training" in answer(replace(QUESTION, users=17, epsilon=1.0))["advice"]
    assert "public-only will be as good" in answer(replace(QUESTION, users=17, epsilon=1.0))["advice"]
    assert answer(replace(QUESTION, users=10**6))["advice"].endswith("of the signal; train it")


def test_the_model_that_plan_speaks_of_is_the_demos() -> None:
    config = read_config("demo", {})
    denoiser = ResidualMLP(
        channels=config.latent, labels=len(BASIC_ACTIONS), width=DPSGD.width, depth=DPSGD.depth
    )
    assert config.options == {} and Layout.of(denoiser.init(0)).dimension == MODEL


def test_what_is_said_of_a_number_of_parameters_is_the_sizing_rule() -> None:
    """kappa grows with the root of their number; the words are marks on it."""
    usual = answer(QUESTION)
    asked = answer(replace(QUESTION, parameters=4 * MODEL))
    assert asked["model_noise"] == pytest.approx(2 * usual["model_noise"])
    assert "with 16,384 private parameters: noise" in asked["advice"]
    part = with_parameters(usual, 4 * MODEL)
    assert part["noise"] == pytest.approx(asked["model_noise"]) and part["verdict"] == asked["model_verdict"]
    assert [verdict(share) for share in (0.0, 0.1, 0.11, 1.0, 1.01)] == [
        "usable", "usable", "coarse", "coarse", "drowned",
    ]  # fmt: skip


def test_a_plans_noise_is_what_was_asked_about() -> None:
    found = answer(replace(QUESTION, parameters=500))
    plan = make_plan(noise_multiplier=found["noise_multiplier"], sampling_rate=0.5, rounds=50, dimension=500)
    assert noise_in(plan, 4, 2000) == pytest.approx(found["model_noise"])


def test_a_shard_carries_twice_the_noise_of_as_many_fewer_contributions() -> None:
    plan = make_plan(noise_multiplier=1.0, sampling_rate=1.0, rounds=50, dimension=500)
    sharded = replace(plan, shard_size=10)
    assert noise_in(sharded, 4, 2000) == pytest.approx(20 * noise_in(plan, 4, 2000))


def test_a_group_too_small_for_its_noise_is_told_so() -> None:
    skeleton = {"modality": {"kind": "skeleton"}}
    plan = make_plan(noise_multiplier=4.3, sampling_rate=0.5, rounds=200, dimension=4096, codec=skeleton)
    line = small_group(plan, 2, 4)
    assert line is not None and "with 4 people" in line and "public-only" in line and "14 times" in line
    assert small_group(plan, 2, 56) is None and small_group(plan, 2, 55) is not None
    assert "records" in str(small_group(replace(plan, unit="record"), 2, 4))
    assert small_group(replace(plan, noise_multiplier=0), 2, 4) is None, "no noise drowns nothing"


def test_noise_gives_epsilon_and_both_give_the_rounds() -> None:
    noise = answer(QUESTION)["noise_multiplier"]
    back = answer(replace(QUESTION, epsilon=None, noise_multiplier=noise))
    assert back["epsilon"] == answer(QUESTION)["epsilon"] and back["epsilon_target"] is None
    both = answer(replace(QUESTION, noise_multiplier=noise, rounds=None))
    assert both["rounds"] == 50
    more = answer(replace(QUESTION, noise_multiplier=2 * noise, rounds=None))
    assert more["rounds"] > 150 and more["epsilon"] <= 8.0


def test_a_secure_sum_buys_what_the_shares_of_m_less_c_sites_leave() -> None:
    question = replace(QUESTION, sites=20, trust="secagg")
    found, local = answer(question), answer(replace(question, trust="local"))
    assert (found["min_sites"], found["colluders"]) == (18, 1) and "min_sites" not in local
    assert found["noise_multiplier"] == local["noise_multiplier"]
    assert local["model_noise"] / found["model_noise"] == pytest.approx(17**0.5)
    wary = answer(replace(question, min_sites=15, colluders=5))
    assert wary["model_noise"] / found["model_noise"] == pytest.approx((17 / 10) ** 0.5)


@pytest.mark.parametrize("trust", ["local", "central", "secagg"])
def test_a_person_at_several_sites_needs_more_noise_most_under_one_noise(trust: Any) -> None:
    one, three = (answer(replace(QUESTION, sites_per_person=k, trust=trust)) for k in (1, 3))
    assert three["noise_multiplier"] > (1.5 if trust == "local" else 2) * one["noise_multiplier"]
    events = [PrivacyEvent(**event) for event in three["events"]]
    assert (events[0].count, events[0].multiplicity) == ((150, 1) if trust == "local" else (50, 3))
    assert three["epsilon"] == epsilon(events, three["delta"]) <= 8.0
    assert three["sites_per_person"] == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epsilon": None}, "give --epsilon"),
        ({"noise_multiplier": 1.0}, "leave out one of the three"),
        ({"epsilon": None, "noise_multiplier": 0.0}, "--noise-multiplier is 0"),
        ({"epsilon": None, "noise_multiplier": float("nan")}, "--noise-multiplier is nan"),
        ({"epsilon": None, "noise_multiplier": 0.05}, "cost more than epsilon 100"),
        ({"epsilon": 0.1, "noise_multiplier": 0.5, "rounds": None}, "not one round"),
        ({"sites_per_person": 0}, "--sites-per-person is 0"),
        ({"sites_per_person": 5}, "--sites-per-person is 5: it must be 1 to 4"),
        ({"rounds": 10**8}, "--rounds is 100000000"),
        ({"users": 1}, "--users is 1"),
        ({"epsilon": 0.0}, "--epsilon is 0"),
        ({"epsilon": float("nan")}, "--epsilon is nan"),
        ({"epsilon": LARGEST_EPSILON + 1}, "at most 100"),
        ({"rounds": 0}, "--rounds is 0"),
        ({"sites": 0}, "--sites is 0"),
        ({"parameters": 0}, "--parameters is 0"),
        ({"sampling_rate": float("nan")}, "--sampling-rate is nan"),
        ({"trust": "nobody"}, "--trust is nobody"),
        ({"trust": "secagg", "sites": 1}, "--sites is 1: it must be 2 or more under secagg"),
        ({"trust": "secagg", "min_sites": 2}, "--min-sites is 2: it must be over half of 4 sites"),
        ({"trust": "secagg", "min_sites": 5}, "--min-sites is 5: .* at most 4"),
        ({"trust": "secagg", "colluders": 0}, "--colluders is 0"),
        ({"trust": "secagg", "colluders": 9}, "--colluders is 9: it must be at least 1 and below min_sites"),
        ({"delta": 0.0}, "--delta is 0"),
        ({"delta": 1 / 2000}, "1/2000"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        answer(replace(QUESTION, **change))  # type: ignore[arg-type]
