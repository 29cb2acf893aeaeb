"""Sweeps of real small runs: killed half-way and resumed, with a cell that fails, into one table."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import fedmotion
from server.shell import run
from simulations.results import Result
from simulations.sweep import read_sweep
from simulations.sweep_display import Display, duration
from simulations.sweep_run import finished
from simulations.workers import Standing, Task, run_all
from tests.common.player.test_pages import Page

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
[base]
people = 60
motions = 1
sites = 2
public_people = 100
latent = 4
holdout = 0.0

[grid]
epsilon = [4.0, inf]
method = ["moments", "dp_sgd"]

[method.moments]
options = { fit_steps = 5, width = 4, depth = 1 }

[method.dp_sgd]
rounds = 60
options = { width = 4, replicas = 1, motions = 1 }
"""


def sweep(*arguments: object) -> int:
    return run(fedmotion.COMMANDS, ["sweep", *map(str, arguments)])


def started(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fedmotion", "sweep", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)


def until(holds: Any, seconds: float = 250.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def rounds_of(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.timeout(600)
def test_a_sweep_is_stopped_half_way_goes_on_and_ends_in_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "small.toml", tmp_path / "out"
    file.write_text(SMALL.replace("[4.0, inf]", "[4.0]"))
    half = out / "cells" / "epsilon4.0-dp_sgd"
    process = started(file, "--out", out, "--jobs", 1, cwd=tmp_path)
    try:
        until(lambda: rounds_of(half) > 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    assert f"interrupted with 1 of 2 cells done; go on with: fedmotion sweep {file}" in said
    done = rounds_of(half)
    assert 1 < done < 60 and not (half / "run.json").exists()
    before = (out / "cells" / "epsilon4.0-moments" / "run.json").stat().st_mtime_ns
    assert "epsilon4.0-dp_sgd | not finished" in (out / "results.md").read_text()

    assert sweep(file, "--out", out, "--json", "--resume", "--jobs", 1) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cells"], told["failed"]) == (2, 0)
    assert (out / "cells" / "epsilon4.0-moments" / "run.json").stat().st_mtime_ns == before
    assert rounds_of(half) == 60 and read_json(half)["privacy"]["events"][0]["count"] == 60
    _check_table(out, told["results"])


def read_json(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def _check_table(out: Path, rows: list[dict[str, Any]]) -> None:
    table = pq.read_table(out / "results.parquet").to_pylist()
    assert [row["cell"] for row in table] == [row["cell"] for row in rows]
    for row in table:
        run = read_json(out / "cells" / row["cell"])
        assert row["epsilon_spent"] == run["privacy"]["epsilon_spent"] <= 4.0
        assert (row["unit"], row["trust"], row["people"]) == ("user", "local", 60)
        assert row["seconds"] > 0 and 4 * row["dimension"] < row["bytes_up"] < 4 * row["dimension"] + 2000
    lines = (out / "results.md").read_text().splitlines()
    claim = next(line for line in lines if line.startswith("Epsilon at delta"))
    assert "every user" in claim and "add or remove one unit, PLD" in claim and "trust local" in claim
    assert [line for line in lines if line.startswith("| public only")]
    assert [line for line in lines if line.startswith("| floor")]
    page = Page((out / "results.html").read_text())
    assert page.addresses == [] and "default-src 'none'" in page.policy


@pytest.mark.timeout(600)
def test_a_cell_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A site's own budget is smaller than one cell's epsilon: its sites refuse."""
    file, out = tmp_path / "small.toml", tmp_path / "out"
    text = SMALL.replace("[4.0, inf]", "[0.5, 4.0]").replace('["moments", "dp_sgd"]', '["moments"]')
    file.write_text(text.partition("[method.dp_sgd]")[0].replace("holdout = 0.0", "site_budget = 1.0"))
    assert sweep(file, "--out", out) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("fedmotion: epsilon4.0-moments of 2 cells failed:")
    assert "BUDGET_EXHAUSTED" in captured.err and captured.err.count("\n") == 1
    table = {row["cell"]: row for row in pq.read_table(out / "results.parquet").to_pylist()}
    failed = table["epsilon4.0-moments"]
    assert failed["status"] == "failed" and "BUDGET_EXHAUSTED" in failed["reason"]
    assert failed["epsilon_spent"] is None
    assert table["epsilon0.5-moments"]["status"] == "done"
    assert "| epsilon4.0-moments | " in (out / "results.md").read_text()

    assert sweep(file, "--out", out) == 2
    assert "add --resume" in capsys.readouterr().err
    file.write_text(file.read_text().replace("people = 60", "people = 61"))
    assert sweep(file, "--out", out, "--resume") == 2
    assert "epsilon0.5-moments was started with other settings" in capsys.readouterr().err


def test_a_sweep_that_is_killed_takes_its_cells_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom simulations.workers import Task, run_all\n"
        "sleeper = [sys.executable, '-c', 'import os, time, pathlib;'"
        " 'pathlib.Path(\"pid\").write_text(str(os.getpid())); time.sleep(300)']\n"
        "run_all([Task(name='a', command=sleeper, log=pathlib.Path('log'))], 1, lambda _: None)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    child = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text(), 20)


def test_workers_keep_to_their_number_and_say_why_one_failed(tmp_path: Path) -> None:
    words = {"good": "0", "bad": "'fedmotion: no such thing'", "silent": "3"}
    tasks = [
        Task(name=name, command=[sys.executable, "-c", f"import sys; sys.exit({word})"], log=tmp_path / name)
        for name, word in words.items()
    ]
    seen: list[Standing] = []
    ended = run_all(tasks, 2, seen.append)
    assert ended == {"good": "", "bad": "no such thing", "silent": "ended with exit code 3 and no word"}
    assert max(len(standing.running) for standing in seen) == 2 and seen[-1].ended == ended


def test_how_far_a_sweep_is_says_cells_and_time_left() -> None:
    from rich.console import Console

    now = [0.0]
    shown = Display(Console(quiet=True), cells=10, done=2, clock=lambda: now[0])
    now[0] = 30.0
    standing = Standing(running=("c", "d"), ended={"a": "", "b": "it broke", "e": ""})
    assert shown.state(standing) == "4 of 10 done, 2 running, 1 failed, about 50 s left"
    assert [duration(s) for s in (5, 600, 7200)] == ["5 s", "10 min", "2.0 h"]


def test_an_infinite_epsilon_is_a_number_in_the_table_and_null_in_json(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("[grid]\nepsilon = [inf]\n")
    cell = read_sweep(tmp_path / "grid.toml").cells[0]
    assert finished(tmp_path, cell) is None
    row = Result(cell, None, "why not")
    assert math.isinf(row.row()["asked_epsilon"]) and row.json()["asked_epsilon"] is None
    assert row.json()["reason"] == "why not"
