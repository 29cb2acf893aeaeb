"""The command line keeps its contract: files, numbers, labels and exit codes."""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import fedmotion
from client.gate import LocalGate
from common.accounting import epsilon
from common.errors import Refusal, RefusalCode
from common.event import PrivacyEvent
from common.method import PublicState
from common.query import Query, Release
from server.shell import run

ROOT = Path(__file__).resolve().parents[1]
SMALL = """
people = 60
motions = 1
sites = 2
rounds = 3
public_people = 100
latent = 4
options = { width = 4, replicas = 1, motions = 1 }
"""
FILES = {
    "run.json", "metrics.jsonl", "checkpoint.safetensors", "checkpoint.sig", "report.html", "samples",
    "ledgers",
}  # fmt: skip


def fedmotion_in_a_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "FLWR_TELEMETRY_ENABLED": "0",
    }
    command = [sys.executable, "-m", "fedmotion", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def simulate(*arguments: object) -> int:
    return run(fedmotion.COMMANDS, ["simulate", *map(str, arguments)])


def read(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "run.json").read_text())
    return value


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def finished(settings: Path) -> subprocess.CompletedProcess[str]:
    """A run as a program starts it: relative paths, from its own folder, with --json."""
    arguments = ("simulate", settings.name, "--epsilon", "4", "--out", "runs/first", "--json")
    return fedmotion_in_a_process(*arguments, cwd=settings.parent)


@pytest.fixture(scope="module")
def out(finished: subprocess.CompletedProcess[str], settings: Path) -> Path:
    assert finished.returncode == 0, finished.stderr
    return settings.parent / "runs" / "first"


def test_json_prints_the_run_and_nothing_else(finished: subprocess.CompletedProcess[str], out: Path) -> None:
    assert json.loads(finished.stdout) == read(out)
    assert finished.stderr == ""


def test_run_json_keeps_its_contract(out: Path) -> None:
    told = read(out)
    assert {
        "fedmotion", "guarantee", "method", "privacy", "sites", "rounds", "seed", "engine", "versions",
        "quality",
    } <= told.keys()  # fmt: skip
    privacy = told["privacy"]
    assert {
        "unit", "neighbouring", "trust", "accountant", "delta", "epsilon_target", "epsilon_spent",
        "sites_per_person", "events",
    } <= privacy.keys()  # fmt: skip
    assert told["guarantee"] == "differential privacy"
    assert (told["rounds"], told["engine"], told["method"]) == (3, "inprocess", "dp_sgd")
    assert (privacy["unit"], privacy["trust"], privacy["sites_per_person"]) == ("user", "local", 1)
    assert privacy["epsilon_target"] == 4.0 and privacy["delta"] == 1e-5
    assert [event["count"] for event in privacy["events"]] == [3]
    assert privacy["events"][0].keys() == {
        "noise_multiplier", "sampling_rate", "count", "multiplicity",
    }  # fmt: skip
    assert [site["name"] for site in told["sites"]] == ["site-01", "site-02"]
    assert sum(site["declared_population"] for site in told["sites"]) == 48
    assert {"private", "public_only", "floor"} == told["quality"]["frechet"].keys()
    assert told["record"] == "one motion"


def test_epsilon_follows_from_the_events_alone(out: Path) -> None:
    privacy = read(out)["privacy"]
    events = [PrivacyEvent(**event) for event in privacy["events"]]
    assert privacy["epsilon_spent"] == epsilon(events, privacy["delta"]) <= 4.0
    assert all(site["epsilon_spent"] == privacy["epsilon_spent"] for site in read(out)["sites"])


@pytest.mark.parametrize("trust", ["local", "central"])
def test_a_person_at_two_sites_is_told_and_charged(settings: Path, tmp_path: Path, trust: str) -> None:
    out = tmp_path / "run"
    assert simulate(settings, "--epsilon", 4, "--sites-per-person", 2, "--trust", trust, "--out", out) == 0
    privacy = read(out)["privacy"]
    assert privacy["sites_per_person"] == 2
    (event,) = privacy["events"]
    assert (event["count"], event["multiplicity"]) == ((6, 1) if trust == "local" else (3, 2))
    events = [PrivacyEvent(**event)]
    assert privacy["epsilon_spent"] == epsilon(events, privacy["delta"]) <= 4.0
    for site in read(out)["sites"]:
        assert site["epsilon_spent"] == privacy["epsilon_spent"]
    page = (out / "report.html").read_text()
    assert "at most 2" in page
    assert ("up to 2 contributions of a person under one noise" in page) == (trust == "central")


def test_metrics_hold_one_row_a_round_and_public_facts_alone(out: Path) -> None:
    found = rows(out)
    assert [row["round"] for row in found] == [1, 2, 3]
    public = {
        "round", "guarantee", "sites", "epsilon", "epsilon_left", "delta", "unit", "neighbouring",
        "accountant", "trust", "bytes_down", "bytes_up",
    }  # fmt: skip
    assert all(row.keys() == public for row in found)
    assert len({(row["bytes_down"], row["bytes_up"]) for row in found}) == 1, "sizes depend on nobody"
    spent = [row["epsilon"] for row in found]
    assert spent == sorted(spent) and spent[-1] == read(out)["privacy"]["epsilon_spent"]


def test_a_run_leaves_its_files_and_no_journal(out: Path) -> None:
    assert {path.name for path in out.iterdir()} >= FILES
    assert len(list((out / "samples").glob("*.bvh"))) == 12
    ledgers = ["site-01.sqlite", "site-01.sqlite.key", "site-02.sqlite", "site-02.sqlite.key"]
    assert [path.name for path in sorted((out / "ledgers").iterdir())] == ledgers
    assert (out / "keys" / "coordinator.pem").stat().st_mode & 0o077 == 0
    for page in (out / "report.html", out / "samples" / "index.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", text)


def test_every_ledger_holds_every_round_once(out: Path) -> None:
    for path in (out / "ledgers").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as ledger:
            charged = ledger.execute("SELECT round, count FROM charges ORDER BY id").fetchall()
        assert charged == [(1, 1), (2, 1), (3, 1)]


def test_a_finished_run_resumed_says_so_and_stays_as_it_is(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [(out / name).read_bytes() for name in ("checkpoint.safetensors", "metrics.jsonl", "run.json")]
    assert simulate("--resume", "--out", out) == 0
    assert "all 3 rounds were done before" in capsys.readouterr().out
    after = [(out / name).read_bytes() for name in ("checkpoint.safetensors", "metrics.jsonl", "run.json")]
    assert before == after


def test_records_and_a_central_server_are_labelled_everywhere(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert simulate(settings, "--unit", "record", "--trust", "central", "--out", out) == 0
    shown, told = " ".join(capsys.readouterr().out.split()), read(out)
    assert "for every record" in shown and "trust central" in shown
    assert told["guarantee"] != "differential privacy" and "record" in told["guarantee"]
    assert (told["privacy"]["unit"], told["privacy"]["trust"]) == ("record", "central")
    assert {(row["unit"], row["trust"]) for row in rows(out)} == {("record", "central")}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "any one motion" in page and "any one person" not in page


def test_sites_that_refuse_end_a_run_with_the_code_and_exit_3(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = LocalGate.release

    def release(self: LocalGate, query: Query, state: PublicState, shares: Any = ()) -> Release:
        if query.round > 1:
            raise Refusal(RefusalCode.POLICY, "a rule of the site")
        return real(self, query, state)

    monkeypatch.setattr(LocalGate, "release", release)
    assert simulate(settings, "--out", tmp_path / "run") == 3
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "stopped after 1 of" in line and "x POLICY" in line and "--resume" in line


def test_test_mode_repeats(settings: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        assert simulate(settings, "--test-mode", "--out", out) == 0
    checkpoints = [(out / "checkpoint.safetensors").read_bytes() for out in outs]
    assert checkpoints[0] == checkpoints[1]


def test_the_run_goes_on_with_the_sites_that_have_budget(tmp_path: Path) -> None:
    settings = tmp_path / "sites.toml"
    sites = '[[site]]\nname = "north"\nshare = 3\n[[site]]\nname = "south"\nbudget = 0.5\n'
    settings.write_text(SMALL.replace("sites = 2\n", "") + sites)
    out = tmp_path / "run"
    assert simulate(settings, "--out", out) == 0
    told = read(out)
    assert told["rounds"] == 3 and told["refusals"] == {"BUDGET_EXHAUSTED": 1}
    spent = {site["name"]: site["epsilon_spent"] for site in told["sites"]}
    assert spent["south"] == 0.0 and 0 < spent["north"] <= 8.0
    assert {site["name"]: site["declared_population"] for site in told["sites"]} == {"north": 36, "south": 12}
    assert [row["sites"] for row in rows(out)] == [1, 1, 1]


def test_plan_answers_before_any_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fedmotion.COMMANDS, ["plan", "--users", "2000", "--epsilon", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["epsilon"] <= 8.0 and math.isclose(found["delta"], 1e-5) and found["dimension_usable"] > 0
    assert run(fedmotion.COMMANDS, ["plan", "--users", "2000", "--epsilon", "8"]) == 0
    text = capsys.readouterr().out
    assert "epsilon" in text and "delta 1e-05" in text and "every user" in text and "trust local" in text
    assert text.splitlines()[0].endswith("8 sites, at most 1 a person):"), (
        "a line is not cut where nobody sees its end"
    )
    assert "usable up to 3,338 parameters (noise 5 % of the signal)" in text
    assert "usual 4,096 parameters: noise 5.5 % of the signal; train it" in text


@pytest.mark.parametrize("command", [(), ("simulate",), ("plan",), ("generate",)])
def test_help_says_what_works(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fedmotion.COMMANDS, [*command, "--help"]) == 0
    text = capsys.readouterr().out
    if not command:
        assert {"simulate", "plan", "generate"} <= set(text.split())


def test_no_command_is_wrong_usage_and_the_version_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fedmotion.COMMANDS, []) == 2
    capsys.readouterr()
    assert run(fedmotion.COMMANDS, ["--version"]) == 0
    assert re.fullmatch(r"fedmotion \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fedmotion.COMMANDS, ["simulat"]) == 2
    line = capsys.readouterr().err
    assert "'simulat'" in line and line.count("\n") == 1
