"""Images through the command line: a run whose unit is one image, what it writes, and what it refuses."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedmotion
from common.motion.image import png
from server.shell import run
from simulations.evaluation import recogniser
from tests.idx_files import CLASSES, idx, squares, write_set

SMALL = """
unit = "record"
holdout = 0.0
rounds = 15
sampling_rate = 0.3
epsilon = 50.0
labels = ["top left", "top right", "low left", "low right"]
options = { width = 16, depth = 1, motions = 1, replicas = 2, learning_rate = 0.05 }
"""


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("images")
    write_set(folder / "set")
    (folder / "small.toml").write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recogniser, "_STEPS", 60)
        given = ["simulate", str(folder / "small.toml"), "--data", str(folder / "set"), "--out"]
        assert run(fedmotion.COMMANDS, [*given, str(folder / "run")]) == 0
    yield folder, json.loads((folder / "run" / "run.json").read_text())


def test_the_unit_is_one_image_and_says_so(done: tuple[Path, dict[str, Any]]) -> None:
    folder, told = done
    assert told["record"] == "one image" and told["privacy"]["unit"] == "record"
    assert told["modality"]["kind"] == "image"
    assert sum(site["declared_population"] for site in told["sites"]) == 400
    report = (folder / "run" / "report.html").read_text()
    assert "for any one image" in report and "person with several records" not in report
    assert report.count("data:image/png;base64,") == 100 and "Motions" not in report


def test_what_recognisers_learn_from_it_is_measured_on_the_t10k_files(
    done: tuple[Path, dict[str, Any]],
) -> None:
    _, told = done
    rows = {row["generator"]: row for row in told["quality"]["table"]}
    assert set(rows) == {"private", "floor"}, "no public images, and it says so"
    assert any("no public images" in line for line in told["quality"]["missing"])
    assert rows["floor"]["cnn"] > 0.95
    assert rows["private"]["cnn"] > 0.6, "chance is 0.25"
    assert rows["floor"]["frechet"] < rows["private"]["frechet"]


def test_images_are_generated_as_files_and_as_arrays(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = done
    drawn = fedmotion.load(folder / "run").sample(3, label="low left")
    assert drawn.shape == (3, 16, 16) and drawn.min() >= 0 and drawn.max() <= 1
    given = ["generate", str(folder / "run"), "--count", "3", "--label", "low left", "--out"]
    for format, suffix in ((None, "png"), ("npy", "npy"), ("html", "html")):
        out = tmp_path / str(format)
        extra = [] if format is None else ["--format", format]
        assert run(fedmotion.COMMANDS, [*given, str(out), *extra]) == 0
        files = sorted(out.glob(f"*.{suffix}"))
        assert len(files) == (1 if format == "html" else 3)
    assert np.allclose(np.load(sorted((tmp_path / "npy").iterdir())[0]), drawn[0])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--format", "bvh"], "images are written as png or npy or html"),
        (["--raw"], "images are never post-processed"),
        (["--format", "html", "--compare", "."], "no images here"),
    ],
)
def test_what_images_are_not_is_one_clear_line(
    done: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    extra: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, _ = done
    given = ["generate", str(folder / "run"), "--count", "2", "--out", str(tmp_path / "out"), *extra]
    assert run(fedmotion.COMMANDS, given) == 2
    assert words in said(capsys)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--unit", "user"], "does not say whose image it is"),
        (["--window", "30"], "window 30 is for skeletons: leave it out"),
        (["--codec", "structured"], "choose image, pca or identity"),
        (["--site-column", "ward"], "idx files have no manifest"),
    ],
)
def test_settings_that_do_not_fit_images_are_refused(
    done: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    extra: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, _ = done
    given = ["simulate", str(folder / "small.toml"), "--data", str(folder / "set"), *extra]
    assert run(fedmotion.COMMANDS, [*given, "--out", str(tmp_path / "out")]) == 2
    assert words in said(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t10k-images-idx3-ubyte", idx(squares(160, 16, 1)[0])[:-9], "truncated: it declares 40,960 values"),
        ("t10k-images-idx3-ubyte", idx(squares(160, 20, 1)[0]), "images of 20 x 20"),
        ("t10k-labels-idx1-ubyte", idx(squares(159, 16, 1)[1]), "159 labels for 160 images"),
        ("t10k-labels-idx1-ubyte", idx(squares(160, 16, 1)[1] + 9), "class 12 has no name"),
    ],
)
def test_a_bad_file_of_held_out_images_is_refused_before_anything_is_trained(
    tmp_path: Path, name: str, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_set(tmp_path / "set", packed=False)
    (folder / name).write_bytes(content)
    (tmp_path / "small.toml").write_text(SMALL)
    given = ["simulate", str(tmp_path / "small.toml"), "--data", str(folder), "--out", str(tmp_path / "out")]
    assert run(fedmotion.COMMANDS, given) == 2
    told = said(capsys)
    assert words in told and name in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists(), "nothing was spent"


def test_real_images_can_be_looked_at_and_converted(
    done: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = done
    assert run(fedmotion.COMMANDS, ["data", "inspect", str(folder / "set")]) == 0
    shown = capsys.readouterr().out
    assert "images of 16 x 16 pixels" in shown and "each is a unit (--unit record)" in shown
    given = ["data", "convert", str(folder / "set"), "--to", "html", "--out", str(tmp_path / "page")]
    assert run(fedmotion.COMMANDS, given) == 0
    assert "This page is not a release" in (tmp_path / "page" / "index.html").read_text()


def test_a_png_file_holds_the_pixels() -> None:
    image = np.linspace(0, 1, 8 * 12, dtype=np.float32).reshape(8, 12)
    content = png(image)
    start = content.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompressobj().decompress(content[start:]), np.uint8).reshape(8, 13)
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[16:24] == b"\0\0\0\x0c\0\0\0\x08"
    assert not rows[:, 0].any() and np.array_equal(rows[:, 1:], np.rint(image * 255))


def test_control_a_recogniser_learns_nothing_from_labels_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser, "_STEPS", 60)
    images, labels = (torch.from_numpy(part) for part in squares(300, 16, 3))
    shuffled = labels.long()[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    for taught, low, high in ((labels.long(), 0.9, 1.0), (shuffled, 0.0, 0.6)):
        model = recogniser.taught("cnn", images / 255, taught, CLASSES)
        assert low <= recogniser.accuracy(model, images / 255, labels.long()) <= high
