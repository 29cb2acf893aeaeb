"""An interrupted run goes on to the same end: every round once, no ledger below the truth."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import fedmotion
from server.shell import run

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 20
SETTINGS = f"""
people = 60
motions = 1
sites = 2
rounds = {ROUNDS}
public_people = 100
latent = 4
options = {{ width = 4, replicas = 1, motions = 1 }}
test_mode = true
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    """`fedmotion simulate` in a process of its own, which a signal can reach."""
    return subprocess.Popen(
        [sys.executable, "-m", "fedmotion", "simulate", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def simulate(*arguments: object) -> int:
    return run(fedmotion.COMMANDS, ["simulate", *map(str, arguments)])


def rows(out: Path) -> list[dict[str, Any]]:
    path = out / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def charges(out: Path) -> dict[str, list[int]]:
    """The charged rounds in each ledger."""
    found = {}
    for path in sorted((out / "ledgers").glob("*.sqlite")):
        with closing(sqlite3.connect(path)) as ledger:
            found[path.stem] = [row[0] for row in ledger.execute("SELECT round FROM charges ORDER BY id")]
    return found


def state(out: Path) -> dict[str, list[float]]:
    tensors = load_file(out / "checkpoint.safetensors")
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "run.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def uninterrupted(settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert simulate(settings, "--out", out) == 0
    return out


def moment(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)


def interrupt(process: subprocess.Popen[str], number: signal.Signals, out: Path) -> None:
    """Send `number`; a kill says nothing, Ctrl-C says in one line how to go on."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL and errors == ""
    else:
        way_on = f"fedmotion: interrupted; go on with: fedmotion simulate --resume --out {out}\n"
        assert process.returncode == 130 and errors == way_on


def test_a_run_interrupted_anywhere_ends_as_an_uninterrupted_one(
    settings: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And while a process is at work in the folder, no other one gets in."""
    out = tmp_path / "run"
    finished: list[dict[str, Any]] = []
    moments = [
        ((settings, "--out", out), signal.SIGKILL, lambda: (out / "sites").exists()),
        (("--resume", "--out", out), signal.SIGKILL, lambda: len(rows(out)) >= 3),
        (("--resume", "--out", out), signal.SIGINT, lambda: len(rows(out)) > len(finished)),
        (("--resume", "--out", out), signal.SIGKILL, lambda: (out / "outcome.json").exists()),
    ]
    for arguments, number, reached in moments:
        process = start(*arguments)
        moment(process, reached)
        if settings in arguments:
            assert simulate("--resume", "--out", out) == 2 and process.poll() is None
            busy = f"fedmotion: another process is at work in {out}: wait for it, or stop it\n"
            assert capsys.readouterr().err == busy
        interrupt(process, number, out)
        finished = rows(out)
        truth = set(range(1, len(finished) + 1)) if finished else set()
        assert all(truth <= set(rounds) for rounds in charges(out).values())

    assert simulate("--resume", "--out", out) == 0
    assert [row["round"] for row in rows(out)] == list(range(1, ROUNDS + 1))
    assert rows(out) == rows(uninterrupted)
    assert state(out) == state(uninterrupted)
    assert charges(out) == charges(uninterrupted), "a charge without an answer was not used again"
    assert list(charges(out).values()) == [list(range(1, ROUNDS + 1))] * 2
    told, whole = (json.loads((path / "run.json").read_text()) for path in (out, uninterrupted))
    for found in (told, whole):
        del found["signer"], found["training"]["seconds"]  # each has a key of its own, and takes its time
    assert told == whole
    assert not list(out.rglob("*-wal")) and not list(out.rglob("*.new"))


def test_ctrl_c_while_preparing_says_how_to_go_on(settings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(settings, "--out", out)
    moment(process, lambda: (out / "simulation.json").exists())
    interrupt(process, signal.SIGINT, out)
    assert not (out / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rounds", 3),
        ("--epsilon", 1),
        ("--seed", 9),
        ("--manifest", "rows.csv"),
        ("--person-pattern", "(?P<person>x)"),
        ("--site-column", "ward"),
    ],
)
def test_a_run_is_resumed_with_its_own_settings_only(
    flag: str, value: object, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (uninterrupted / "checkpoint.safetensors").read_bytes()
    assert simulate("--resume", "--out", uninterrupted, flag, value) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{flag} {value}" in error and "own settings" in error
    assert (uninterrupted / "checkpoint.safetensors").read_bytes() == before


def test_there_must_be_something_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--resume", "--out", tmp_path) == 2
    assert capsys.readouterr().err == (
        f"fedmotion: nothing to resume in {tmp_path}: leave --resume out to start there\n"
    )
