"""Pre-training on public motions: repeatable, resumable with nothing lost, told in one line what is wrong."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from common.pretrained import FILE, Pretrained
from common.sealed import read_sealed
from simulations.pretrain import HALFWAY, REPORT
from simulations.pretraining import Pretraining, read_pretraining
from simulations.public_sources import read_sources
from tests.pretraining import PUBLIC, Refused, pretrain, write

ROOT = Path(__file__).resolve().parents[2]


def test_it_leaves_a_model_and_its_figures_and_nothing_else_to_keep(base: Path) -> None:
    told = json.loads((base / REPORT).read_text())
    assert told["public"]["windows"] == 80 and told["public"]["held_out"] == 8
    assert told["public"]["origin"].startswith("40 procedural people of fedmotion ")
    assert told["design"].items() >= {"width": 4, "depth": 1}.items() and told["latent"] == 4
    assert [row["step"] for row in told["loss"]] == list(range(1, 61))
    assert all(np.isfinite([row["loss"], row["held_out"]]).all() for row in told["loss"])
    assert not (base / HALFWAY).exists()
    found = Pretrained.load(base)
    assert sum(value.numel() for value in found.assets.base.values()) == told["parameters"]
    assert vars(found.public).items() <= told["public"].items()


def test_it_learns_public_motions() -> None:
    """The loss of the averaged parameters on held-out public people falls; the control is the start."""
    from common.generator.assets import Assets
    from common.generator.codecs import PublicMotions
    from common.methods.dp_sgd import DPSGD
    from simulations.codec import make_codec
    from simulations.public_training import Latents, Progress, held_out_loss, step

    config = Pretraining(people=60, motions=2, latent=6, steps=150, batch=64, ema=0.9, learning_rate=0.02)
    sources = read_sources(config)
    public = sources.fitted
    motions = PublicMotions(public.windows, public.labels, sources.labels, sources.origin)
    codec = make_codec(config, sources.modality, sources.labels, motions)
    method = DPSGD(assets=Assets(codec), width=16, replicas=2)
    fitted = Latents.encoded(codec, public)
    assert len(fitted) == 108 and len(sources.held_out.windows) == 12
    progress = Progress.start(method.parameters(method.init(0)), "cpu")
    before = held_out_loss(method, fitted, progress.averaged())
    assert before == held_out_loss(method, fitted, progress.averaged()), "the same draws"
    for _ in range(config.steps):
        progress, _ = step(method, fitted, progress, config, "cpu")
    assert held_out_loss(method, fitted, progress.averaged()) < before - 0.02


def test_the_seed_fixes_every_bit(settings: Path, base: Path, tmp_path: Path) -> None:
    assert pretrain(settings, "--out", tmp_path / "again") == 0
    assert (tmp_path / "again" / FILE).read_bytes() == (base / FILE).read_bytes()
    assert pretrain(settings, "--seed", 1, "--out", tmp_path / "other") == 0
    assert (tmp_path / "other" / FILE).read_bytes() != (base / FILE).read_bytes()


def _ends(process: subprocess.Popen[str], out: Path, how: int) -> tuple[int, str]:
    """Send `how` once something was saved; exit code and what was said."""
    deadline = time.monotonic() + 90
    while not (out / HALFWAY).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    return process.wait(60), process.communicate()[1]


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.nightly)])
def test_interrupted_or_killed_it_goes_on_to_the_same_bits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], how: signal.Signals
) -> None:
    settings = write(tmp_path, PUBLIC.replace("steps = 60", "steps = 600") + "save_seconds = 0.05\n")
    out = tmp_path / "base"
    process = subprocess.Popen(
        [sys.executable, "-m", "fedmotion", "pretrain", str(settings), "--out", str(out)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    code, said = _ends(process, out, how)
    step = read_sealed(out / HALFWAY, "", "")[1]["step"]
    assert 0 < step < 600 and not (out / FILE).exists()
    if how is signal.SIGINT:
        assert code == 130
        assert said == f"fedmotion: interrupted; go on with: fedmotion pretrain --resume --out {out}\n"
    assert pretrain("--resume", "--out", out) == 0
    assert pretrain(settings, "--out", tmp_path / "straight") == 0
    assert (out / FILE).read_bytes() == (tmp_path / "straight" / FILE).read_bytes()
    curves = [json.loads((folder / REPORT).read_text())["loss"] for folder in (out, tmp_path / "straight")]
    assert curves[0] == curves[1]
    capfd.readouterr()
    assert pretrain("--resume", "--out", out) == 0
    assert "all 600 steps were done before" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--public", "{here}"), "origin is missing"),
        (("--origin", "a studio"), "origin goes with public"),
        (("--people", 0), "people is 0 and there is no public"),
        (("--steps", 0), "--steps is 0"),
        (("--public", "{here}/none", "--origin", "x"), "does not exist"),
        (("{here}/none.toml",), "No such file"),
        (("--resume",), "nothing to resume"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, refused: Refused, arguments: tuple[object, ...], said: str
) -> None:
    filled = [str(argument).format(here=tmp_path) for argument in arguments]
    out = tmp_path / "out"
    assert said in refused("pretrain", *filled, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stesp = 3", "unknown key stesp: did you mean steps?"),
        ("options = { widht = 3 }", "unknown option 'widht'"),
        ('options = { train = "lora" }', "options.train is of private training"),
        ("latent = 500\npeople = 20", "too few for a codec of 500"),
        ("steps = ", "not valid TOML"),
    ],
)
def test_a_bad_file_of_settings_is_one_line(tmp_path: Path, refused: Refused, text: str, said: str) -> None:
    assert said in refused("pretrain", write(tmp_path, text), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_and_what_was_saved_before_goes_on(tmp_path: Path, refused: Refused) -> None:
    settings, out = write(tmp_path, PUBLIC + "save_seconds = 0.0\n"), tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        said = refused("pretrain", settings, "--out", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"cannot write {out / HALFWAY}: " in said and "free space" in said
    assert pretrain("--resume", "--out", out) == 0
    Pretrained.load(out)


def test_a_folder_in_use_and_other_settings_are_refused(
    settings: Path, base: Path, tmp_path: Path, refused: Refused
) -> None:
    assert "add --resume" in refused("pretrain", settings, "--out", base)
    assert "--steps 3 differs from 60" in refused("pretrain", "--resume", "--steps", 3, "--out", base)


SENSORS = """
files = "*.csv"
[person]
pattern = "(?P<person>s[0-9]+)"
[time]
column = "t"
unit = "ms"
[channels.acc_x]
column = "x"
unit = "g"
"""


def test_public_folders_of_sensors_and_of_skeletons(
    tmp_path: Path, motion_folder: Path, refused: Refused
) -> None:
    """Recordings with their origin; of the two kinds only one at a time."""
    folders = {kind: tmp_path / f"of-{kind}" for kind in ("skeleton", "sensor")}
    for folder in folders.values():
        folder.mkdir()
    for path in sorted(motion_folder.glob("*.bvh.gz"))[:12]:
        (folders["skeleton"] / path.name).symlink_to(path)
    (folders["sensor"] / "sensors.toml").write_text(SENSORS)
    for person in ("s1", "s2"):
        rows = "".join(f"{20 * row},{row % 7 / 7}\n" for row in range(400))
        (folders["sensor"] / f"{person}.csv").write_text(f"t,x\n{rows}")
    both = [word for folder in folders.values() for word in ("--public", folder)]
    said = refused("pretrain", *both, "--origin", "two studios", "--out", tmp_path / "out")
    assert "different modalities" in said
    text = "steps = 5\nbatch = 8\noptions = { width = 4, replicas = 1 }\nlatent = 4\nholdout = 0.0\n"
    settings = write(tmp_path, text)
    real = ("--public", folders["skeleton"], "--origin", "CMU")
    assert pretrain(settings, *real, "--people", 70, "--out", tmp_path / "skeleton") == 0
    watch = ("--public", folders["sensor"], "--origin", "mine")
    assert pretrain(settings, *watch, "--out", tmp_path / "sensor") == 0
    found = {kind: Pretrained.load(tmp_path / kind) for kind in folders}
    assert all(found[kind].assets.codec.modality.kind == kind for kind in folders)
    assert found["sensor"].public.origin == "mine"
    origin = found["skeleton"].public.origin
    assert origin.startswith("70 procedural people of fedmotion ") and origin.endswith("; CMU")
    assert found["skeleton"].public.windows > 70 * 4


def test_a_codecs_file_is_found_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('codec = "vae"\ncodec_file = "mine.safetensors"\n')
    assert read_pretraining(tmp_path / "base.toml", {}).codec_file == tmp_path / "mine.safetensors"
