"""Generated motions are files that others can read, the same for the same seed, from a signed model alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pybvh
import pytest

import fedmotion
from common.errors import InputError
from common.motion.kinematics import bone_lengths
from common.motion.postprocess import postprocess
from common.motion.skeleton import JOINT_NAMES
from common.signing import create_key, public_name
from server.checkpoint import Checkpoint
from server.generate import Drawing
from server.shell import run
from tests.common.motion.glb import Glb

SMALL = """
people = 30
motions = 1
sites = 1
rounds = 1
public_people = 100
latent = 4
options = { width = 4, replicas = 1, motions = 1 }
"""


def generate(*arguments: object) -> int:
    return run(fedmotion.COMMANDS, ["generate", *map(str, arguments)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generate")
    (folder / "small.toml").write_text(SMALL)
    arguments = ["simulate", str(folder / "small.toml"), "--out", str(folder / "run")]
    assert run(fedmotion.COMMANDS, arguments) == 0
    return folder / "run"


def test_bvh_reads_back_with_rigid_bones(finished: Path, tmp_path: Path) -> None:
    assert generate(finished, "--count", 3, "--out", tmp_path) == 0
    files = sorted(tmp_path.glob("*.bvh"))
    assert len(files) == 3
    for file in files:
        motion = pybvh.read_bvh_file(file, world_up="+y")
        assert len(motion.joint_names) == 22 and motion.frame_count >= 20
        assert motion.frame_time == pytest.approx(0.05)
        assert np.isfinite(motion.joint_angles).all()


def test_python_gives_the_same_motions_as_the_command(finished: Path, tmp_path: Path) -> None:
    given = (finished, "--count", 4, "--label", "walk", "--seed", 5, "--format", "npy", "--out", tmp_path)
    assert generate(*given) == 0
    written = np.stack([np.load(file) for file in sorted(tmp_path.glob("*.npy"))])
    model = fedmotion.load(finished)
    drawn = model.sample(4, label="walk", seed=5)
    assert drawn.shape == (4, 60, 22, 3) and drawn.dtype == np.float32
    assert np.array_equal(written, drawn)
    assert not np.array_equal(drawn, model.sample(4, label="walk", seed=6))
    fewer: Drawing = {"sampler": "dpm", "steps": 6, "guidance": 1.0, "frames": 60}
    assert model.sample(4, label="walk", seed=5, **fewer).shape == drawn.shape
    assert not np.array_equal(drawn, model.sample(4, label="walk", seed=5, **fewer))
    assert "walk" in model.labels and model.rate == 20.0 and model.columns == JOINT_NAMES
    assert model.guarantee == "differential privacy"
    whole = model.draw(4, seed=5)
    assert len(whole.labels) == 4 and set(whole.labels) <= {*model.labels, "unlabelled"}
    for motion in drawn:
        each = np.stack([bone_lengths(frame[None]) for frame in motion])
        assert np.ptp(each, axis=0).max() < 1e-4


def test_raw_is_the_generators_own_output(finished: Path, tmp_path: Path) -> None:
    given = ("--count", 3, "--label", "jump", "--format", "npy")
    assert generate(finished, *given, "--raw", "--out", tmp_path / "raw") == 0
    assert generate(finished, *given, "--out", tmp_path / "mended") == 0
    raw, mended = (
        np.stack([np.load(file) for file in sorted((tmp_path / part).glob("*.npy"))])
        for part in ("raw", "mended")
    )
    model = fedmotion.load(finished)
    own, _ = model.generator.sample(3, "jump", 0)
    assert np.array_equal(raw, own.numpy()) and np.array_equal(raw, model.sample(3, "jump", raw=True))
    assert np.array_equal(mended, postprocess(raw))
    each = [
        np.ptp([bone_lengths(frame[None]) for frame in motion[0]], axis=0).max() for motion in (raw, mended)
    ]
    assert each[0] > 1e-3 > 1e-4 > each[1]


def test_gltf_and_humanml3d_are_whole(finished: Path, tmp_path: Path) -> None:
    given = (finished, "--count", 2, "--label", "walk", "--format")
    assert generate(*given, "gltf", "--out", tmp_path / "gltf") == 0
    drawn = fedmotion.load(finished).sample(2, "walk")
    files = [Glb(path.read_bytes()) for path in sorted((tmp_path / "gltf").glob("*.glb"))]
    assert len(files) == 2
    for file, motion in zip(files, drawn, strict=True):
        assert np.abs(file.joints(30)[:, :3, 3] - motion[30]).max() < 1e-4
    assert generate(*given, "humanml3d", "--out", tmp_path / "h") == 0
    names = (tmp_path / "h" / "all.txt").read_text().split()
    assert names == ["0000_walk", "0001_walk"]
    assert (tmp_path / "h" / "texts" / "0000_walk.txt").read_text() == "walk#walk/OTHER#0.0#0.0\n"
    assert np.load(tmp_path / "h" / "new_joint_vecs" / "0001_walk.npy").shape == (59, 263)


def test_a_page_is_one_small_file(finished: Path, tmp_path: Path) -> None:
    assert generate(finished, "--count", 30, "--format", "html", "--out", tmp_path) == 0
    (page,) = tmp_path.iterdir()
    assert page.suffix == ".html" and page.stat().st_size < 1_000_000


def test_recordings_stand_beside_what_is_generated(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = tmp_path / "recorded"
    assert generate(finished, "--count", 2, "--out", recorded, "--seed", 9) == 0
    capsys.readouterr()
    given = (finished, "--count", 40, "--format", "html", "--compare", recorded, "--out", tmp_path / "page")
    assert generate(*given, "--json") == 0
    told = capsys.readouterr()
    assert len(json.loads(told.out)["real"]) == 2 and "it is not a release" in told.err
    page = Path(json.loads(told.out)["files"][0])
    text = page.read_text(encoding="utf-8")
    assert "recordings of people" in text and page.stat().st_size < 1_000_000
    assert text.count('"group":"real"') == 2 and text.count('"group":"generated"') == 32


def test_json_names_the_files(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(finished, "--count", 2, "--out", tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["format"] == "bvh" and len(told["labels"]) == 2
    assert sorted(told["files"]) == sorted(str(path) for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--count", 2, "--label", "fly"), ("'fly'", "walk")),
        (("--count", 0), ("--count", "0")),
        (("--count", 2, "--format", "csv"), ("csv", "bvh or gltf or npy or humanml3d or html")),
        (("--count", 2, "--compare", "."), ("--compare", "add --format html")),
        (("--count", 2, "--format", "html", "--compare", "nowhere"), ("nowhere", "no such file")),
        (("--count", 2, "--format", "fbx"), ("fbx", "bvh")),
        (("--count", 2, "--seed", -1), ("--seed", "-1")),
        (("--count", 2, "--sampler", "huen"), ("'huen'", "did you mean heun?")),
        (("--count", 2, "--steps", 1), ("steps is 1", "from 2 to 1000")),
        (("--count", 2, "--guidance", "nan"), ("guidance is nan", "from 0 to 20")),
        (("--count", 2, "--frames", 40), ("frames is 40", "have 60 frames")),
        (("--count", 2, "--text", "walks"), ("learnt from no text: give a label", "walk", "--text-encoder")),
    ],
)  # fmt: skip
def test_a_wrong_wish_is_one_line(
    arguments: tuple[object, ...],
    named: tuple[str, ...],
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert generate(finished, *arguments, "--out", out) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and all(word in line for word in named), line
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert generate(finished, "--count", 1, "--out", tmp_path / "file" / "out") == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "place"), [("checkpoint.safetensors", -20), ("checkpoint.sig", 20)])
def test_a_model_that_was_changed_is_refused(
    file: str, place: int, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    content = bytearray((copy / file).read_bytes())
    content[place] ^= 1
    (copy / file).write_bytes(bytes(content))
    assert generate(copy, "--count", 1, "--out", tmp_path / "out") == 2
    assert "signature" in capsys.readouterr().err
    (copy / file).unlink()
    assert generate(copy, "--count", 1, "--out", tmp_path / "out") == 2
    assert file in capsys.readouterr().err
    with pytest.raises(InputError):
        fedmotion.load(copy)


def test_a_model_signed_again_with_another_key_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run.json` names the key; who replaced that too is stopped by the key one was told."""
    copy, rogue = tmp_path / "copy", create_key(tmp_path / "rogue.pem")
    shutil.copytree(finished, copy)
    true = json.loads((copy / "run.json").read_text())
    Checkpoint.load(copy).save(copy, rogue)
    assert generate(copy, "--count", 1, "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "signature of another key" in line and true["signer"] in line

    (copy / "run.json").write_text(json.dumps({**true, "signer": public_name(rogue)}))
    fedmotion.load(copy)  # the control: a folder replaced whole agrees with itself
    assert generate(copy, "--count", 1, "--out", tmp_path / "out", "--signer", true["signer"]) == 2
    with pytest.raises(InputError, match="another key"):
        fedmotion.load(copy, signer=true["signer"])
    assert generate(finished, "--count", 1, "--out", tmp_path / "out", "--signer", true["signer"]) == 0


def test_a_folder_with_something_in_it_is_left_alone(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(finished.rglob("*"))
    kept = tmp_path / "kept"
    assert generate(finished, "--count", 1, "--out", kept) == 0
    kept_before = sorted(kept.iterdir())
    for taken in (kept, finished, finished / "samples", kept_before[0]):
        capsys.readouterr()
        assert generate(finished, "--count", 2, "--out", taken) == 2
        line = capsys.readouterr().err
        assert line == f"fedmotion: {taken} exists: choose another --out\n"
    assert sorted(kept.iterdir()) == kept_before and sorted(finished.rglob("*")) == before


def test_a_folder_without_a_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(tmp_path / "none", "--count", 1, "--out", tmp_path / "out") == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
