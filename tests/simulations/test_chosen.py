"""A run with method auto takes what is recommended, keeps it, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fedmotion
from common.errors import InputError
from common.methods import AUTO, DEFAULT, NAMES
from server.shell import run
from simulations.config import read_config

SMALL = """
people = 60
motions = 1
sites = 2
public_people = 100
latent = 4
holdout = 0.0
rounds = 7
method = "auto"
"""


def test_a_run_names_the_method_that_was_chosen_and_is_resumed_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {DEFAULT: NAMES[DEFAULT]}  # others would fit their generators for as long as in earnest
    monkeypatch.setattr("server.recommendation.NAMES", quick)
    (tmp_path / "auto.toml").write_text(SMALL)
    out = tmp_path / "run"
    given = ["simulate", str(tmp_path / "auto.toml"), "--epsilon", "0.3", "--out", str(out)]
    assert run(fedmotion.COMMANDS, given) == 0
    told = json.loads((out / "run.json").read_text())
    settings = json.loads((out / "simulation.json").read_text())
    chosen = told["choice"]["method"]
    assert chosen in NAMES and told["method"] == settings["method"] == chosen
    assert told["choice"]["asked"] == AUTO and told["choice"] == json.loads((out / "choice.json").read_text())
    usual = NAMES[chosen].usual
    assert settings["clip_norm"] == usual.clip_norm and settings["rounds"] == usual.needed(7)
    line = f"method auto: {told['choice']['why']}"
    assert line in capsys.readouterr().out and told["notes"][0] == line
    assert told["training"]["seconds"] > 0 and told["training"]["bytes_up"] > 4 * told["dimension"]

    assert run(fedmotion.COMMANDS, [*given, "--resume"]) == 0, "said again, auto is what the run was told"
    capsys.readouterr()
    other = next(name for name in NAMES if name != chosen)
    assert run(fedmotion.COMMANDS, [*given, "--resume", "--method", other]) == 2
    assert f"--method {other} differs from the run's {chosen}" in capsys.readouterr().err


def test_options_are_of_a_method_that_is_named() -> None:
    with pytest.raises(InputError, match="name it instead of method = auto"):
        read_config(None, {"method": AUTO, "options": {"width": 8}})
    assert read_config(None, {"method": AUTO, "epsilon": 2.0}).model_fields_set == {"method", "epsilon"}


def test_a_run_that_named_its_method_is_not_resumed_as_auto(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_config(None, {"method": "moments"})
    (tmp_path / "simulation.json").write_text(settings.model_dump_json())
    given = ["simulate", "--method", "auto", "--out", str(tmp_path), "--resume"]
    assert run(fedmotion.COMMANDS, given) == 2
    assert "--method auto differs from the run's moments" in capsys.readouterr().err
