"""What is recommended follows from public facts, says why, and knows no method by name."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

import server.recommendation
from common.accounting import calibrate
from common.errors import InputError
from common.method import Prospect
from common.methods import NAMES, build
from common.methods.dp_sgd import DPSGD
from common.methods.moments import Moments
from server.budget import Question, answer
from server.recommendation import Facts, one_release, recommend, stated_assets
from tests.small_site import CODEC

DEMO = Facts(units=2000, epsilon=8.0, delta=1e-5, sites=8, trust="local")
ASSETS = stated_assets("skeleton", 6)


def test_one_release_is_the_accountants_own_noise() -> None:
    assert one_release(8.0, 1e-5) == pytest.approx(calibrate(8.0, 1e-5, 1.0, 1, 1), rel=1e-3)
    assert one_release(1.0, 1e-5) == pytest.approx(3.730, rel=1e-3)
    assert one_release(math.inf, 1e-5) == 0.0


@pytest.mark.parametrize("trust", ["local", "secagg", "central"])
def test_the_noise_is_that_of_the_sizing_rule(trust: str) -> None:
    """`plan` prints dp_sgd's from its own schedule; the rule leaves the schedule out and says the same."""
    facts = replace(DEMO, trust=trust)  # type: ignore[arg-type]
    found = {one.method: one for one in recommend(facts, ASSETS).candidates}["dp_sgd"]
    question = Question(
        users=2000, epsilon=8.0, delta=1e-5, rounds=200, sampling_rate=0.5, sites=8, trust=facts.trust
    )
    told = answer(question)
    assert found.dimension == told["model_dimension"]
    assert found.noise == pytest.approx(told["model_noise"], rel=0.05)


def test_every_registered_method_is_ranked_at_its_own_size() -> None:
    found = recommend(DEMO, ASSETS)
    assert {one.method for one in found.candidates} | set(found.unfit) == set(NAMES)
    assert [one.left for one in found.candidates] == sorted(one.left for one in found.candidates)
    for one in found.candidates:
        assert one.dimension == build(one.method, {}, ASSETS).dimension
    assert found.json()["method"] == found.method == found.candidates[0].method


def test_stated_assets_are_as_large_as_fitted_ones() -> None:
    """The demo's own denoiser, and the sensors' codec, which is fitted on nothing."""
    assert build("dp_sgd", {}, ASSETS).dimension == 4096
    sensors = stated_assets("sensor", len(CODEC.labels))
    assert sensors.codec.latent == CODEC.latent and len(sensors.codec.labels) == len(CODEC.labels)
    for wrong in (("image", 3), ("sensor", -1), ("skeleton", 5000)):
        with pytest.raises(InputError, match=r"--modality is image|--labels is"):
            stated_assets(*wrong)


def test_more_noise_leaves_more_and_too_much_is_no_gain() -> None:
    left = [recommend(replace(DEMO, units=units), ASSETS).candidates[0].left for units in (50, 500, 5000)]
    assert left == sorted(left, reverse=True)
    few = recommend(replace(DEMO, units=20, epsilon=1.0), ASSETS)
    assert "no method is expected to beat public-only" in few.why
    assert "next best" in recommend(DEMO, ASSETS).why
    free = recommend(replace(DEMO, epsilon=math.inf), ASSETS)
    assert all(one.noise == 0 for one in free.candidates)


def test_a_person_at_several_sites_is_more_to_hide() -> None:
    two = replace(DEMO, sites_per_person=2)
    assert two.noise == pytest.approx(math.sqrt(2) * DEMO.noise)
    assert replace(two, trust="central").noise == pytest.approx(2 * replace(DEMO, trust="central").noise)


def test_a_method_that_says_nothing_of_itself_is_ranked_by_the_rule_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new method needs no line here: its class states its size, and what it makes of noise if it knows."""

    @dataclass(frozen=True, kw_only=True)
    class Other(Moments):
        name: ClassVar[str] = "other"
        prospect: ClassVar[Prospect] = Prospect()

    class Better(Other):
        name: ClassVar[str] = "better"
        prospect: ClassVar[Prospect] = Prospect(least=0.0, most=0.5, half=5.0)

    names = {"other": Other, "better": Better, "dp_sgd": DPSGD}
    monkeypatch.setattr("server.recommendation.NAMES", names)
    monkeypatch.setattr("common.methods.NAMES", names)
    found = recommend(DEMO, ASSETS)
    assert found.method == "better" and {one.method for one in found.candidates} == set(names)
    tree = ast.parse(Path(server.recommendation.__file__).read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not words & set(NAMES)


def test_a_method_that_does_not_take_a_design_is_left_out_with_the_reason() -> None:
    found = recommend(DEMO, ASSETS, {"train": "all"})
    assert "moments" in found.unfit and "unknown option 'train'" in found.unfit["moments"]
    assert any("moments: left out" in line for line in found.lines())
    with pytest.raises(InputError, match="no method takes these settings"):
        recommend(DEMO, ASSETS, {"no_such": 1})


def test_what_was_measured_is_what_is_said() -> None:
    """Where the order was measured (docs/choosing.md): little noise is close, nothing but noise is not."""
    for units, epsilon, first in ((100, 8.0, "dp_sgd"), (100, 1.0, "moments")):
        facts = replace(DEMO, units=units, epsilon=epsilon)
        found = [
            one.method for one in recommend(facts, ASSETS).candidates if one.method in ("dp_sgd", "moments")
        ]
        assert found[0] == first, (units, epsilon)
    demo = {one.method: one.left for one in recommend(DEMO, ASSETS).candidates}
    assert demo["dp_sgd"] == pytest.approx(0.016 / 0.146, abs=0.05)
    assert demo["moments"] == pytest.approx(0.018 / 0.146, abs=0.05)
