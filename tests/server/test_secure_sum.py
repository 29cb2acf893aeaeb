"""Securely aggregated rounds as the coordinator drives them, to real doors: dropouts, lies, void attempts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import RecordDict

from client.ledger import Ledger
from common.accounting import epsilon
from common.secagg.messages import Confirmed, Keys, Shared, Unmasked
from common.secagg.wire import decode, encode
from server.checkpoint import FILE, Checkpoint
from simulations.config import Simulation
from simulations.prepare import open_people, prepare
from simulations.public_corpus import public_corpus
from tests.server.nodes import Nodes, resealed, rows, run, settle

ROUNDS = 3
EAST, NORTH, SOUTH, WEST = (f"site-0{number}" for number in (1, 2, 3, 4))
LEAVING = ("keys", "shares", "release", "survivors", "unmasking")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four sites in test mode, of which three make a round and one may collude."""
    folder = tmp_path_factory.mktemp("secagg") / "run"
    folder.mkdir()
    config = Simulation(
        people=30, motions=1, sites=4, rounds=ROUNDS, public_people=100, latent=4, trust="secagg",
        min_sites=3, test_mode=True, options={"width": 4, "replicas": 1, "motions": 1},
    )  # fmt: skip
    data = open_people(config)
    prepare(config, data, public_corpus(config, data), folder)
    settle(folder, tries=1)
    return folder


@pytest.fixture
def hub(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "run")
    return tmp_path / "run"


def counts(folder: Path) -> list[int]:
    return [row["sites"] for row in rows(folder)]


def leaving(site: str, step: str) -> Callable[[str, str, RecordDict], RecordDict | None]:
    """From a step of round 1 on, the site is gone until the round is over."""
    gone = [f"round 1 {name}" for name in LEAVING[LEAVING.index(step) :]]
    return lambda name, group, answer: None if name == site and group in gone else answer


def model_after(folder: Path, copy: Path, step: str) -> bytes:
    shutil.copytree(folder, copy)
    outcome = run(copy, Nodes(copy, leaving(WEST, step)))
    assert outcome["stopped"] is None and outcome["rounds"] == ROUNDS
    return (copy / FILE).read_bytes()


def test_one_may_leave_at_any_step_and_its_vector_counts_if_it_came(prepared: Path, tmp_path: Path) -> None:
    """In test mode the draws are seeded: whether a vector is in the sum shows in every bit of the model."""
    models = {step: model_after(prepared, tmp_path / step, step) for step in ("keys", "release", "survivors")}
    assert counts(tmp_path / "keys") == [3, 4, 4] and counts(tmp_path / "survivors") == [4, 4, 4]
    whole = tmp_path / "whole"
    shutil.copytree(prepared, whole)
    run(whole, Nodes(whole))
    assert models["survivors"] == (whole / FILE).read_bytes()
    assert models["keys"] == models["release"] != models["survivors"]


def check_below_m_nothing_is_released(folder: Path, step: str) -> None:
    def leave(site: str, group: str, answer: RecordDict) -> RecordDict | None:
        return None if site in (NORTH, WEST) and group == f"round 2 {step}" else answer

    outcome = run(folder, Nodes(folder, leave))
    assert outcome["rounds"] == 1 == len(rows(folder)) and Checkpoint.load(folder).state.round == 1
    assert outcome["stopped"].startswith("in round 2 2 sites sent ")
    assert outcome["stopped"].endswith(", and the plan asks for 3")


@pytest.mark.parametrize("step", LEAVING)
def test_below_m_at_any_step_the_attempt_is_void(hub: Path, step: str) -> None:
    check_below_m_nothing_is_released(hub, step)


def test_a_void_attempt_is_tried_again_paid_again_and_the_reservation_holds(hub: Path) -> None:
    """Three rounds are reserved: one attempt that comes to nothing leaves two."""
    settle(hub, tries=2)
    lost: list[str] = []

    def lose(site: str, group: str, answer: RecordDict) -> RecordDict | None:
        if site in (NORTH, WEST) and group == "round 1 release" and len(lost) < 2:
            lost.append(site)
            return None
        return answer

    outcome = run(hub, Nodes(hub, lose))
    plan = Checkpoint.load(hub).plan
    assert counts(hub) == [4, 4] and outcome["rounds"] == 2
    assert "declined with BUDGET_EXHAUSTED" in outcome["stopped"]
    assert [row["epsilon"] for row in rows(hub)] == [
        pytest.approx(epsilon([plan.spent(charges)], plan.delta), rel=1e-3) for charges in (2, 3)
    ]
    for path in sorted((hub / "ledgers").glob("*.sqlite")):
        with Ledger.read(path) as ledger:
            events = ledger.events(plan.digest())
        assert events == [plan.spent(3)] and epsilon(events, plan.delta) <= 8.0


def changed(folder: Path, kind: type, step: str, **changes: Any) -> Callable[..., RecordDict]:
    """One site's answer of one step with other fields, in its own seal."""

    def touch(site: str, group: str, answer: RecordDict) -> RecordDict:
        if (site, group) != (WEST, f"round 1 {step}"):
            return answer
        return resealed(folder, site, answer, encode(replace(decode(answer, kind), **changes)))

    return touch


LIES: dict[str, tuple[type, str, dict[str, Any], list[int]]] = {
    "keys that it did not sign": (Keys, "keys", {"mask_key": "ab" * 32}, [3, 4, 4]),
    "keys of another attempt": (Keys, "keys", {"attempt": "ab" * 16}, [3, 4, 4]),
    "shares for nobody": (Shared, "shares", {"shares": ()}, [3, 4, 4]),
    "shares with another cohort": (Shared, "shares", {"cohort": "ab" * 32}, [3, 4, 4]),
    "a list that it did not sign": (Confirmed, "survivors", {"signature": "ab" * 64}, [4, 4, 4]),
    "no shares of masks": (Unmasked, "unmasking", {"shares": ()}, [4, 4, 4]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_lies_is_left_out_and_the_others_go_on(hub: Path, lie: str) -> None:
    kind, step, changes, expected = LIES[lie]
    outcome = run(hub, Nodes(hub, changed(hub, kind, step, **changes)))
    assert (outcome["stopped"], outcome["refusals"]) == (None, {"MALFORMED": 1})
    assert counts(hub) == expected


def test_a_commitment_to_another_seed_makes_a_round_void_and_never_a_wrong_sum(hub: Path) -> None:
    outcome = run(hub, Nodes(hub, changed(hub, Shared, "shares", commitment="ab" * 32)))
    assert outcome["rounds"] == 0 and "the shares of site-04's secret do not fit it" in outcome["stopped"]


def test_after_a_crash_a_round_is_attempted_anew_and_summed_once(hub: Path) -> None:
    """The coordinator ends between the sum and the checkpoint: sites that paid pay for a new attempt."""
    nodes = Nodes(hub)

    def crash(site: str, group: str, answer: RecordDict) -> RecordDict:
        if (site, group) == (WEST, "round 2 unmasking"):
            raise KeyboardInterrupt
        return answer

    nodes.touch = crash
    with pytest.raises(KeyboardInterrupt):
        run(hub, nodes)
    assert Checkpoint.load(hub).state.round == 1
    outcome = run(hub, Nodes(hub))
    assert outcome["rounds"] == 2 and [row["round"] for row in rows(hub)] == [1, 2]
    assert "declined with BUDGET_EXHAUSTED" in outcome["stopped"]
