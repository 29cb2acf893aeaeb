"""The table of images: rows are kept as they are done, beside figures whose source is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from simulations.benchmarks import images

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
    (folder / "out").mkdir(exist_ok=True)
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


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--methods dpdn: choose from .*dp_sgd.*dpdm"):
        images.table(asked(tmp_path, methods=("dpdn",)))
    with pytest.raises(InputError, match="no folder emnist"):
        images.table(asked(tmp_path, sets=("emnist",)))


def test_the_preset_is_the_method_with_settings_of_the_paper() -> None:
    from simulations.config import read_config

    config = read_config("dpdm", {})
    assert config.method == "dp_sgd" and config.unit == "record" and config.delta == images.DELTA
    assert config.options["replicas"] == 4 and config.options["parameterisation"] == "edm"
