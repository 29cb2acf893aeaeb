"""The command in the report starts the same run again: every setting, typed or filed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import fedmotion
from server.shell import run
from simulations.config import Simulation
from simulations.repeat import repeat_command

ROOT = Path(__file__).resolve().parents[2]


def said(command: str) -> Simulation:
    """The settings that a command gives, as a shell and a TOML parser read them."""
    *filed, line = command.split("\n")
    values: dict[str, Any] = tomllib.loads("\n".join(filed[1:-1]))
    words = shlex.split(line)
    assert words[:2] == ["fedmotion", "simulate"] and words[-2:] == ["--out", "runs/again"]
    words = words[3:-2] if filed else words[2:-2]
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            values[word[2:].replace("-", "_")] = True if after.startswith("--") else after
    return Simulation.model_validate(values, strict=False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"people": 2500, "sites": 8, "epsilon": float("inf"), "test_mode": True, "delta": 1e-6},
        {"data": "/it's a", "manifest": "rows.csv", "person_pattern": "(?P<person>[^/ ]+)/", "people": 9},
        {"data": "/d", "skip_bad": True, "labels": ["walk", "a 'b'"], "sensor_device": "sp", "holdout": 0.0},
        {"options": {"width": 4, "ema": 0.5}, "sampling_rate": 0.25, "clip_norm": 1e-3, "public_people": 100},
        {
            "data": "/d", "site_column": "ward", "unit": "record", "trust": "central", "site_budget": 9.5,
            "site": [{"name": "n", "value": "N 1", "budget": 2.0}, {"name": "s", "value": "S"}],
        },
        {"method": "gs_wgan", "clip_norm": 0.2, "shard_size": 8, "sampling_rate": 1.0},
        {"method": "moments", "sampling_rate": 0.5},
        {"site": [{"name": "north", "share": 3.0}, {"name": "south"}], "seed": 7, "engine": "flower"},
    ],
)  # fmt: skip
def test_every_setting_is_in_the_command(settings: dict[str, Any]) -> None:
    config = Simulation.model_validate(settings)
    assert said(repeat_command(config)) == config


def test_a_path_below_this_folder_is_said_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert " --data motions/new " in repeat_command(Simulation(data=Path("motions/new")))


def test_the_reports_command_runs_as_it_stands(tmp_path: Path) -> None:
    settings = tmp_path / "small.toml"
    settings.write_text(
        "people = 30\nmotions = 1\nsites = 2\nrounds = 2\npublic_people = 100\nlatent = 4\n"
        "test_mode = true\noptions = { width = 4, replicas = 1, motions = 1 }\n"
    )
    first = tmp_path / "runs" / "first"
    assert run(fedmotion.COMMANDS, ["simulate", str(settings), "--out", str(first)]) == 0
    page = (first / "report.html").read_text(encoding="utf-8")
    found = re.search(r"How to repeat this run</h2><pre>(.*?)</pre>", page, re.DOTALL)
    assert found is not None
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        ["bash", "-ec", unescape(found[1])], cwd=tmp_path, env=environment, check=True, timeout=100
    )
    again = tmp_path / "runs" / "again"
    first_settings, its = (json.loads((out / "simulation.json").read_text()) for out in (first, again))
    assert first_settings == its
    models = [(out / "checkpoint.safetensors").read_bytes() for out in (first, again)]
    assert models[0] == models[1], "in test mode the same settings give the same model"
