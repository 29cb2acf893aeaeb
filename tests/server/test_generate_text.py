"""A run that learnt from text takes sentences: trained, asked and written as a user does it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import fedmotion
from server.checkpoint import Checkpoint
from server.shell import run
from tests.server.test_generate import SMALL, generate

HOSTILE = "../../runs a\u0000 </script><b>Ünder\u202e\ud83d\n round"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoken")
    (folder / "small.toml").write_text(SMALL + 'text_encoder = "template"\ntext_size = 12\n')
    arguments = ["simulate", str(folder / "small.toml"), "--rounds", "2", "--out", str(folder / "run")]
    assert run(fedmotion.COMMANDS, arguments) == 0
    return folder / "run"


def test_a_sentence_gives_motions_of_its_action(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = (spoken, "--count", 3, "--text", "a person jogs in a circle", "--seed", 4)
    assert generate(*said, "--format", "npy", "--out", tmp_path / "npy") == 0
    assert "read as the label run" in capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "npy").iterdir())
    assert files == [f"000{i}_a-person-jogs-in-a-circle.npy" for i in range(3)] + ["prompt.txt"]
    assert (tmp_path / "npy" / "prompt.txt").read_text() == "a person jogs in a circle\n"
    written = np.stack([np.load(tmp_path / "npy" / name) for name in files[:3]])
    model = fedmotion.load(spoken)
    assert np.array_equal(written, model.sample(3, seed=4, text="a person jogs in a circle"))
    assert np.array_equal(written, model.sample(3, label="run", seed=4, text="a person jogs in a circle"))
    assert not np.array_equal(written, model.sample(3, seed=4, text="someone kicks"))
    assert model.draw(1, text="someone hops").labels == ["jump"]
    assert model.draw(1, "kick", text="someone hops").labels == ["kick"]


def test_the_answer_names_the_text(spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(spoken, "--count", 1, "--text", "runs", "--json", "--out", tmp_path / "o") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["text"] == "runs" and told["labels"] == ["run"]
    assert json.loads((spoken / "run.json").read_text())["text"]["kind"] == "template"


def test_a_hostile_prompt_is_a_harmless_name_and_title(spoken: Path, tmp_path: Path) -> None:
    for format in ("bvh", "html"):
        given = ("--count", 1, "--text", HOSTILE, "--format", format, "--out", tmp_path / format)
        assert generate(spoken, *given) == 0
    assert {path.name for path in (tmp_path / "bvh").iterdir()} == {
        "0000_runs-a-script-b-nder-round.bvh", "prompt.txt"
    }  # fmt: skip
    (page,) = (tmp_path / "html").iterdir()
    assert "<b>" not in page.read_text(encoding="utf-8").replace("<body>", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'the text is empty: say what the person does, such as "a person walks"'),
        ("xyzzy", "no word of the text 'xyzzy' is known: this run's text says walk, run"),
        ("walk " * 80, "too long: at most 512 characters and 64 words"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_one_line(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert generate(spoken, "--count", 1, "--text", text, "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and said in line, line


def test_a_label_alone_stands_for_its_public_sentence(spoken: Path) -> None:
    generator = Checkpoint.load(spoken).generator()
    assert generator.label_text is not None and generator.label_text.shape == (7, 12)
    labelled = generator.sample(2, "walk", 3)[0]
    said = generator.sample(2, "walk", 3, text=generator.label_text[generator.codec.label_index("walk")])[0]
    assert torch.equal(labelled, said)
