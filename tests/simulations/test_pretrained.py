"""A private run that starts from public parameters: what it trains, says and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fedmotion
from common.errors import InputError
from common.pretrained import FILE, Pretrained
from server.shell import run
from tests.pretraining import PRIVATE, Refused, simulate, write


def told(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "run.json").read_text())
    return value


@pytest.mark.parametrize("train", ["all", "lora", "bias_norm", "condition"])
def test_a_private_run_starts_from_it(
    base: Path, tmp_path: Path, train: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = f'options = {{ train = "{train}", rank = 2, replicas = 1, motions = 1 }}\n'
    out = tmp_path / "run"
    assert simulate(write(tmp_path, PRIVATE + options), "--pretrained", base, "--out", out) == 0
    found, public = told(out), Pretrained.load(base)
    assert found["public"] == vars(public.public)
    whole = sum(value.numel() for value in public.assets.base.values())
    private = public.private(train, 2).dimension
    assert (found["parameters"]["private"], found["parameters"]["all"]) == (private, whole)
    assert found["parameters"]["train"] == train and found["dimension"] == private
    assert (private == whole) == (train == "all")
    line = f"note: {private:,} of {whole:,} parameters are trained in private (train = {train}): noise "
    assert line in capsys.readouterr().out
    assert "What was trained" in (out / "report.html").read_text()
    model, start = fedmotion_generator(out), public.generator()
    moved = {n for n, value in model.parameters.items() if not torch.equal(value, start.parameters[n])}
    assert moved and all(train_moves(train, name) for name in moved)


def fedmotion_generator(out: Path) -> Any:
    from server.checkpoint import Checkpoint

    return Checkpoint.load(out).generator()


def train_moves(train: str, name: str) -> bool:
    moves: dict[str, Callable[[str], bool]] = {
        "all": lambda _: True,
        "lora": lambda n: n == "block0.weight",
        "bias_norm": lambda n: n.endswith(".bias"),
        "condition": lambda n: n.startswith(("label", "noise", "shift", "scale")),
    }
    return moves[train](name)


def test_public_only_is_the_pretrained_generator_itself(base: Path, tmp_path: Path) -> None:
    """The row of the report compares with what `generate` draws from the folder, to the bit."""
    from simulations.config import read_config
    from simulations.prepare import open_people, prepare

    config = read_config(str(write(tmp_path, PRIVATE)), {"pretrained": base})
    (tmp_path / "run").mkdir()
    prepare(config, open_people(config), None, tmp_path / "run")
    begun, alone = fedmotion_generator(tmp_path / "run"), Pretrained.load(base).generator()
    drawn = [generator.sample(3, seed=4)[0] for generator in (begun, alone)]
    assert torch.equal(*drawn)


def test_a_pretrained_folder_generates_and_says_what_it_is(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fedmotion.load(base)
    assert model.guarantee == "public motions only" and model.sample(2).shape == (2, 60, 22, 3)
    out = tmp_path / "motions"
    capsys.readouterr()
    assert run(fedmotion.COMMANDS, ["generate", str(base), "--count", "2", "--out", str(out)]) == 0
    assert "public motions only" in capsys.readouterr().out and len(list(out.iterdir())) == 2
    with pytest.raises(InputError, match="no signature"):
        fedmotion.load(base, signer="00" * 32)


def test_plan_counts_the_parameters_of_every_part(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["plan", "--users", "2000", "--epsilon", "8", "--rounds", "20"]
    capsys.readouterr()
    assert run(fedmotion.COMMANDS, [*ask, "--pretrained", str(base), "--rank", "2", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert list(parts) == ["all", "lora", "bias_norm", "condition"]
    assert parts["lora"]["parameters"] == 4 * 2 and parts["bias_norm"]["parameters"] == 12
    assert parts["all"]["noise"] > parts["condition"]["noise"] > parts["lora"]["noise"]
    assert {part["verdict"] for part in parts.values()} == {"usable"}
    assert run(fedmotion.COMMANDS, [*ask, "--pretrained", str(base), "--train", "lora"]) == 0
    said = capsys.readouterr().out
    assert "lora: 16 private parameters, noise" in said and "with 16 private parameters" in said


def _changed(base: Path, folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    replace(Pretrained.load(base), **changes).save(folder)
    return folder


def test_a_start_that_does_not_fit_is_one_line(base: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "run"

    def said(start: object, extra: str = "", *flags: object) -> str:
        line = refused(
            "simulate", write(tmp_path, PRIVATE + extra), "--pretrained", start, *flags, "--out", out
        )
        assert not out.exists()
        return line

    assert "no folder that fedmotion pretrain has finished" in said(tmp_path)
    assert "width is 5, and pretrained" in said(base, "options = { width = 5 }")
    assert "latent is 7" in said(base, "latent = 7")
    assert "choose from all, lora" in said(base, 'options = { train = "attention" }')
    assert "choose from all, attention" in said(base, 'options = { train = "some" }')
    assert "rank is 5, and block0.weight has 4" in said(base, 'options = { train = "lora", rank = 5 }')
    found = Pretrained.load(base)
    arrays = {name: value.clone() for name, value in found.assets.base.items()}
    arrays["input.bias"][0] = torch.nan
    nan = _changed(base, tmp_path / "nan", assets=replace(found.assets, base=arrays))
    assert "input.bias of the pre-trained base is not finite" in said(nan)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    content = bytearray((base / FILE).read_bytes())
    content[-5] ^= 1
    (damaged / FILE).write_bytes(content)
    assert "does not match its own digest" in said(damaged)
    (damaged / FILE).write_bytes(content[:100])
    assert "is damaged" in said(damaged)
    assert "train = lora needs public parameters" in refused(
        "simulate", write(tmp_path, PRIVATE + 'options = { train = "lora" }'), "--out", out
    )


def test_data_of_another_kind_or_with_other_labels_are_refused(base: Path, tmp_path: Path) -> None:
    from client.datasets import DataOptions, open_data_set
    from simulations.config import read_config
    from simulations.pretrained import start_from
    from tests.small_site import LABELS

    config = read_config(str(write(tmp_path, PRIVATE)), {"pretrained": base})
    data = open_data_set(None, DataOptions(people=3))
    assert start_from(base, config, data).assets.base

    class Others:
        modality, labels = data.modality, (*LABELS, "fly")

    with pytest.raises(InputError, match=r"have the label 'fly', and pretrained .* knows walk"):
        start_from(base, config, Others())  # type: ignore[arg-type]
    Others.modality = replace(data.modality, kind="sensor")
    with pytest.raises(InputError, match="is of skeleton motions, and the data are of another modality"):
        start_from(base, config, Others())  # type: ignore[arg-type]
