"""Both engines run the same ServerApp and ClientApp, and nothing of them stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from common.accounting import epsilon
from common.event import PrivacyEvent
from server.checkpoint import FILE, Checkpoint
from server.rounds import METRICS, OUTCOME
from simulations.run import Request, simulate

SMALL = {"people": 48, "sites": 2, "rounds": 2, "public_people": 100, "test_mode": True}


def run(out: Path, **flags: object) -> dict[str, object]:
    request = Request(source=None, flags={**SMALL, **flags}, out=out, resume=False)
    return simulate(request, Console(quiet=True))


def command_lines_with(text: bytes) -> list[bytes]:
    """Processes of this machine whose command line or folder holds `text` (where /proc says)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes() + bytes((process / "cwd").resolve())
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("engines") / "inprocess"
    run(out)
    return out


@pytest.mark.timeout(300)
def test_in_test_mode_both_engines_give_the_same_result(in_process: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `simulation` (Ray) is not installed")
    out = tmp_path / "flower"
    described = run(out, engine="flower")
    assert described["guarantee"] == "none" and described["engine"] == "flower"
    assert (out / FILE).read_bytes() == (in_process / FILE).read_bytes()
    assert (out / METRICS).read_bytes() == (in_process / METRICS).read_bytes()
    assert not command_lines_with(b"fedmotion-flower-")


def test_another_seed_gives_another_result(in_process: Path, tmp_path: Path) -> None:
    run(tmp_path / "other", seed=1)
    assert (tmp_path / "other" / FILE).read_bytes() != (in_process / FILE).read_bytes()


def test_outside_the_test_mode_two_runs_differ_by_their_noise(tmp_path: Path) -> None:
    states = []
    for name in ("one", "two"):
        described = run(tmp_path / name, test_mode=False)
        assert described["guarantee"] == "differential privacy"
        states.append(Checkpoint.load(tmp_path / name).state.arrays["parameters/shift.weight"])
    assert not bool((states[0] == states[1]).any())


@pytest.mark.parametrize("options", [{"trust": "central"}, {"trust": "secagg"}, {"steps_per_round": 3}])
def test_the_other_forms_of_a_round_run_and_are_charged_for_every_step(
    tmp_path: Path, options: dict[str, object]
) -> None:
    described = json.loads(json.dumps(run(tmp_path / "run", **options)))
    steps = int(str(options.get("steps_per_round", 1)))
    assert [event["count"] for event in described["privacy"]["events"]] == [2 * steps]
    assert described["privacy"]["trust"] == options.get("trust", "local")
    assert described["privacy"]["epsilon_spent"] <= 8.0


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_in_test_mode_both_engines_give_the_same_secure_sum(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `simulation` (Ray) is not installed")
    for engine in ("inprocess", "flower"):
        run(tmp_path / engine, engine=engine, trust="secagg", sites=3)
    for name in (FILE, METRICS):
        assert (tmp_path / "flower" / name).read_bytes() == (tmp_path / "inprocess" / name).read_bytes()


def test_under_secagg_epsilon_follows_from_the_events_at_the_effective_multiplier(tmp_path: Path) -> None:
    """A person at two of three sites meets one noise, in whole numbers."""
    told = run(tmp_path / "run", trust="secagg", sites=3, sites_per_person=2, test_mode=False)
    privacy = json.loads(json.dumps(told["privacy"]))
    plan = Checkpoint.load(tmp_path / "run").plan
    event = {"noise_multiplier": plan.effective_noise_multiplier, "sampling_rate": 0.5, "count": 2}
    assert privacy["events"] == [{**event, "multiplicity": 2}]
    spent = epsilon([PrivacyEvent(**privacy["events"][0])], privacy["delta"])
    assert privacy["epsilon_spent"] == spent <= 8.0
    assert (privacy["trust"], privacy["min_sites"], privacy["colluders"]) == ("secagg", 3, 1)
    assert privacy["noise_multiplier"] == plan.noise_multiplier > plan.effective_noise_multiplier
    page = (tmp_path / "run" / "report.html").read_text()
    assert "secagg: every site adds a share of the noise" in page
    assert "at least 3, of which at most 1 may share" in page


def test_a_crash_between_the_last_round_and_its_outcome_is_resumed_without_another_charge(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    before = run(out)
    (out / OUTCOME).unlink()
    after = simulate(Request(source=None, flags={}, out=out, resume=True), Console(quiet=True))
    for told in (before, after):
        told["training"] = None  # it takes its time
    assert after == before
