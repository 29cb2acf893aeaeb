"""The report claims what the run may claim, beside all its terms, and nothing else."""

from __future__ import annotations

import copy
import json
import math
import re
from typing import Any

import numpy as np
import pytest

from server.guarantee import has_guarantee
from server.report import report_page
from tests.common.player.test_pages import HOSTILE, Page, motions, windows

RUN: dict[str, Any] = {
    "fedmotion": "0.1.0",
    "guarantee": "(epsilon, delta)-differential privacy",
    "method": "dp-sgd",
    "privacy": {
        "unit": "user", "neighbouring": "add-or-remove", "trust": "local", "accountant": "PLD",
        "delta": 1e-5, "epsilon_target": 4.0, "epsilon_spent": 3.982, "sites_per_person": 1,
        "events": [{"noise_multiplier": 1.13, "sampling_rate": 0.05, "count": 120}],
    },
    "sites": [{"name": f"clinic-{k}", "declared_population": 500, "epsilon_spent": 3.9} for k in range(3)],
    "rounds": 120, "seed": 7, "engine": "inprocess", "versions": {"torch": "2.13.0"},
    "quality": {"frechet": {"private": 3.41, "public_only": 6.83, "floor": 0.52}},
}  # fmt: skip
METRICS = [{"round": k, "epsilon": 4 * (k / 120) ** 0.6, "sites": 3, "seconds": 0.5} for k in range(1, 121)]


def changed(**privacy: Any) -> dict[str, Any]:
    run = copy.deepcopy(RUN)
    run["privacy"] |= privacy
    return run


def test_a_report_is_self_contained() -> None:
    text = report_page(RUN, METRICS, motions(4, "generated") + motions(4))
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    assert page.addresses == [] and "default-src 'none'" in page.policy
    assert "3.41" in text and "6.83" in text and "0.52" in text and "clinic-2" in text
    assert "50 % closer" in text


def test_every_epsilon_stands_beside_its_terms() -> None:
    page = re.sub(r"<style>.*?</style>|<script.*?</script>", "", report_page(RUN, METRICS, []), flags=re.S)
    for section in re.findall(r"<section.*?</section>", page, flags=re.S):
        if "ε = 3" in section or "ε spent" in section or 'class="target"' in section:
            lower = section.lower()
            assert "δ = 1e-05" in section and "add-or-remove" in section
            assert "user" in lower and "local" in lower
    assert "No privacy guarantee" not in page and "PLD" in page


@pytest.mark.parametrize("spent", [None, "inf", math.inf, math.nan])
def test_an_infinite_epsilon_is_no_guarantee(spent: Any) -> None:
    run = changed(epsilon_spent=spent)
    text = report_page(run, METRICS, windows(2), rate=50.0)
    assert not has_guarantee(run)
    assert '<div class="warning" role="alert"><strong>No privacy guarantee</strong>' in text
    assert "Guarantee</h2>" not in text and 'class="target"' not in text and "no claim" in text


def test_test_mode_is_no_guarantee_however_small_its_epsilon() -> None:
    warning = "no privacy guarantee: trained in test mode"
    text = report_page(RUN | {"guarantee": "none", "warning": warning}, METRICS, [])
    assert "<strong>No privacy guarantee: trained in test mode</strong>" in text
    assert "knows the seed" in text and "no noise" not in text
    assert "3.982" not in text and "3.9<" not in text


def test_a_missing_delta_is_no_guarantee() -> None:
    assert not has_guarantee(changed(delta=None))


def test_real_recordings_come_with_a_warning() -> None:
    warning = "no guarantee covers them"
    assert warning in report_page(RUN, METRICS, motions(2))
    assert warning in report_page(RUN, METRICS, windows(1), rate=50.0)
    assert warning not in report_page(RUN, METRICS, motions(2, "generated"))


def test_quality_says_so_when_the_data_did_not_help() -> None:
    run = RUN | {"quality": {"frechet": {"private": 7.0, "public_only": 6.8, "floor": 0.5}}}
    text = report_page(run, METRICS, [])
    assert "did not help" in text and "does not release it" in text and "held out" in text


def test_further_figures_are_shown_with_what_they_mean() -> None:
    row = {"generator": "private", "frechet": 1.0, "skate": 0.123, "accuracy": None}
    text = report_page(RUN | {"quality": {"table": [row]}}, METRICS, [])
    assert "Skating" in text and "0.123" in text and "planted toe" in text
    assert "by a classifier" not in text


def test_a_quality_table_is_shown_as_given() -> None:
    rows = [
        {"generator": "private", "frechet": 1.25, "note": "mean of 3"},
        {"generator": "x", "frechet": None},
    ]
    text = report_page(RUN | {"quality": {"table": rows}}, METRICS, [])
    assert "1.25" in text and "mean of 3" in text and "not known" in text


def test_a_distance_that_is_missing_has_its_reason() -> None:
    nothing = {"private": None, "public_only": None, "floor": None}
    why = "no distance was computed: fewer than 100 windows"
    text = report_page(RUN | {"quality": {"frechet": nothing, "missing": [why]}}, METRICS, [])
    assert "<h2>Quality</h2><p>No distance was computed: fewer than 100 windows.</p>" in text
    row = {"generator": "public_only", "frechet": None, "note": "none, as there are no public motions"}
    text = report_page(RUN | {"quality": {"frechet": nothing, "table": [row]}}, METRICS, [])
    assert (
        "public only<br>" in text and "none, as there are no public motions" in text and "not known" in text
    )


def test_notes_and_the_command_are_shown_where_there_are_some() -> None:
    text = report_page(RUN | {"notes": ["few <people>"]}, METRICS, [], command="fedmotion simulate <x>")
    assert "<li>Few &lt;people&gt;.</li>" in text and "<pre>fedmotion simulate &lt;x&gt;</pre>" in text
    plain = report_page(RUN, METRICS, [])
    assert "What to know" not in plain and "How to repeat" not in plain


def test_hostile_strings_stay_text() -> None:
    hostile = json.loads(json.dumps(RUN).replace("clinic-0", "CLINIC").replace("2.13.0", "VERSION"))
    text = json.dumps(hostile | {"method": "METHOD"})
    for word in ("CLINIC", "VERSION", "METHOD", "add-or-remove", "PLD"):
        text = text.replace(word, json.dumps(HOSTILE)[1:-1])
    page, plain = Page(report_page(json.loads(text), METRICS, [])), Page(report_page(RUN, METRICS, []))
    assert page.tags == plain.tags and page.addresses == []


def test_a_bare_run_still_has_a_report() -> None:
    text = report_page({}, [], [])
    assert "No privacy guarantee" in text
    assert not np.any([word in text for word in ("nan", "None")])


def test_what_was_trained_and_what_from_is_told() -> None:
    parameters = {"private": 128, "all": 4096, "train": "lora", "noise": 0.06, "verdict": "usable"}
    public = {"origin": "a <studio>, CC-BY", "steps": 5000, "windows": 2000, "sha256": "ab" * 32}
    page = report_page({**RUN, "parameters": parameters, "public": public}, METRICS, [])
    assert "128 of 4,096: a low-rank change" in page and "6 % of the signal: usable" in page
    assert "a &lt;studio&gt;, CC-BY" in page and "5,000 steps on 2,000 windows" in page and "ab" * 32 in page
    noisy = {**RUN, "parameters": {**parameters, "noise": 1.435, "verdict": "drowned"}}
    assert "144 % of the signal: drowned" in report_page(noisy, METRICS, [])
    assert "What was trained" not in report_page(RUN, METRICS, [])
