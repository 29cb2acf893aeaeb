"""What a budget buys follows from public facts and grows in the right direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.accounting import epsilon
from common.errors import InputError
from common.query import PrivacyEvent
from server.budget import LARGEST_EPSILON, Question, answer

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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"users": 1}, "--users is 1"),
        ({"epsilon": 0.0}, "--epsilon is 0"),
        ({"epsilon": float("nan")}, "--epsilon is nan"),
        ({"epsilon": LARGEST_EPSILON + 1}, "at most 100"),
        ({"rounds": 0}, "--rounds is 0"),
        ({"sites": 0}, "--sites is 0"),
        ({"sampling_rate": float("nan")}, "--sampling-rate is nan"),
        ({"trust": "nobody"}, "--trust is nobody"),
        ({"delta": 0.0}, "--delta is 0"),
        ({"delta": 1 / 2000}, "1/2000"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        answer(replace(QUESTION, **change))  # type: ignore[arg-type]
