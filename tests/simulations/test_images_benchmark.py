"""The table of images: rows are kept as they are done, beside figures whose source is named."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from simulations.benchmarks import images
from simulations.benchmarks.__main__ import command as benchmarks
from simulations.benchmarks.image_settings import SETTINGS

ROW = {
    "figures": {"frechet": 1.25, "logistic": 0.8, "mlp": 0.85, "cnn": 0.9},
    "real": {"frechet": 0.1, "logistic": 0.9, "mlp": 0.92, "cnn": 0.97},
    "images": 5000,
    "epsilon_spent": 9.99,
    "accountant": "PLD",
    "rounds": 3,
    "sampling_rate": 0.1,
    "noise_multiplier": 1.5,
    "dimension": 10,
    "cpu_minutes": 1.0,
}


def asked(folder: Path, **changes: Any) -> images.Asked:
    for name in images.SETS:
        (folder / "sets" / name).mkdir(parents=True, exist_ok=True)
    return images.Asked(data=folder / "sets", out=folder / "out", **changes)


def test_a_row_that_was_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def measured(asked: images.Asked, set_name: str, method: str, epsilon: float) -> dict[str, Any]:
        done.append((set_name, method, epsilon))
        if len(done) == 3:
            raise KeyboardInterrupt
        return ROW

    monkeypatch.setattr(images, "_measured", measured)
    with pytest.raises(KeyboardInterrupt):
        images.table(asked(tmp_path, methods=("dpdm",)))
    assert images.table(asked(tmp_path, methods=("dpdm",))).row_count == 4 + 2, "and real images of each set"
    assert len(done) == 5 and done[2] == done[3], "the row that was interrupted is the only one done twice"
    rows = (tmp_path / "out" / "images.jsonl").read_text().splitlines()
    assert len({(r["set"], r["method"], r["epsilon"]) for r in map(json.loads, rows)}) == 4
    page = (tmp_path / "out" / "images.md").read_text()
    assert "90.8 / 94.8 / 98.1 | DPDM's table" in page and "| real images |" in page


def test_a_row_without_privacy_says_so_and_methods_say_how_they_were_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(asked: images.Asked, set_name: str, method: str, epsilon: float) -> dict[str, Any]:
        free = {"epsilon_spent": None, "noise_multiplier": 0.0} if epsilon == inf else {}
        return {**ROW, **free, "settings": SETTINGS.get(method, {})}

    monkeypatch.setattr(images, "_measured", measured)
    images.table(asked(tmp_path, methods=("dp_merf",), sets=("mnist",), epsilons=(inf, 1.0)))
    again = images.table(asked(tmp_path, methods=("dp_merf",), sets=("mnist",), epsilons=(inf,)))
    assert again.row_count == 2 + 1, "the row without noise is found again"
    text = (tmp_path / "out" / "images.jsonl").read_text()
    assert "Infinity" not in text, "which is no JSON"
    page = (tmp_path / "out" / "images.md").read_text()
    assert page.index("| mnist | dp_merf | 9.99 |") < page.index("| mnist | dp_merf | none |")
    assert "## dp_merf" in page and "frequencies gaussian" in page


@pytest.mark.parametrize("method", sorted(SETTINGS))
def test_settings_are_those_that_a_simulation_takes(method: str) -> None:
    from common.methods import checked_options
    from simulations.config import read_config

    config = read_config(None, {"method": method, "unit": "record", **SETTINGS[method]})
    assert checked_options(method, config.options) == SETTINGS[method].get("options", {})


@pytest.mark.parametrize("epsilons", ["ten", "0", "1,-2", "nan", ""])
def test_an_epsilon_that_is_none_is_one_line(epsilons: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["images", "--recordings", ".", "--epsilons", epsilons]
    assert benchmarks(given) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "--epsilons" in told and "above 0" in told


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--methods dpdn: choose from .*dp_sgd.*dpdm"):
        images.table(asked(tmp_path, methods=("dpdn",)))
    with pytest.raises(InputError, match="no folder emnist"):
        images.table(asked(tmp_path, sets=("emnist",)))
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        images.table(asked(tmp_path))


def test_the_preset_is_the_method_with_settings_of_the_paper() -> None:
    from simulations.config import read_config

    config = read_config("dpdm", {})
    assert config.method == "dp_sgd" and config.unit == "record" and config.delta == images.DELTA
    assert config.options["replicas"] == 4 and config.options["parameterisation"] == "edm"
