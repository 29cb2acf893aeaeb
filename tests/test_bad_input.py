"""Wrong input is one line that names it and the way out, exit code 2, and leaves nothing in the way."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

import fedmotion
from client.datasets import DataOptions, open_data_set
from common.motion.bvh import write_bvh
from server.shell import run
from tests.common.motion.test_kinematics import rigid_motion

SMALL = """
public_people = 100
motions = 1
latent = 4
rounds = 2
options = { width = 4, replicas = 1, motions = 1 }
"""
PEOPLE = "people = 30\n"


class Refused(Protocol):
    def __call__(self, *arguments: object, code: int = 2, left: bool = False) -> str: ...


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run `fedmotion` with arguments that must fail; the one line that it says."""

    def attempt(*arguments: object, code: int = 2, left: bool = False) -> str:
        out = tmp_path / "run"
        given = [str(argument) for argument in arguments]
        if given[0] == "simulate" and "--out" not in given:
            given += ["--out", str(out)]
        assert run(fedmotion.COMMANDS, given) == code
        captured = capsys.readouterr()
        line = captured.err
        assert line.startswith("fedmotion: ") and line.endswith("\n") and line.count("\n") == 1, line
        assert "Traceback" not in line and "internal error" not in line
        assert out.exists() == left
        return line

    return attempt


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, PEOPLE)


def write(folder: Path, text: str, name: str = "c.toml") -> Path:
    path = folder / name
    path.write_text(text + SMALL)
    return path


@pytest.fixture
def motions(tmp_path: Path) -> Path:
    """A folder of four people with one motion each."""
    folder = tmp_path / "motions"
    folder.mkdir()
    for seed, name in enumerate(("ann", "bob", "cat", "dan")):
        write_bvh(folder / f"{name}_1.bvh", rigid_motion(frames=44, seed=seed))
    return folder


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--epsilon", "-1"), ("simulate: --epsilon is -1.0: it must be greater than 0",)),
        (("--epsilon", "0"), ("epsilon", "0", "greater than 0")),
        (("--epsilon", "nan"), ("epsilon", "nan", "greater than 0")),
        (("--epsilon", "-inf"), ("epsilon", "-inf", "greater than 0")),
        (("--epsilon", "1e9"), ("--epsilon is 1000000000.0", "at most 100", "inf")),
        (("--epsilon", "much"), ("--epsilon", "much")),
        (("--delta", "nan"), ("delta", "nan")),
        (("--delta", "0"), ("delta", "greater than 0")),
        (("--delta", "0.5"), ("delta 0.5", "1/24", "--delta")),
        (("--site-budget", "nan"), ("--site-budget", "nan")),
        (("--site-budget", "0"), ("--site-budget", "greater than 0")),
        (("--people", "1"), ("1 person", "add people")),
        (("--people", "0"), ("people", "greater than or equal to 1")),
        (("--sites", "0"), ("sites", "0")),
        (("--rounds", "0"), ("rounds", "0")),
        (("--rounds", "1.5"), ("--rounds", "1.5")),
        (("--holdout", "1"), ("holdout", "less than 1")),
        (("--seed", "-1"), ("seed", "-1")),
        (("--method", "magic"), ("magic", "dp_sgd")),
        (("--trust", "nobody"), ("trust", "nobody", "local", "secagg", "central")),
        (("--unit", "motion"), ("unit", "motion", "user", "record")),
        (("--engine", "ray"), ("engine", "ray", "inprocess", "flower")),
        (("--device", "tpu"), ("device", "tpu", "cpu")),
        (("--manifest", "m.csv"), ("--manifest says", "data")),
        (("--person-pattern", "x"), ("--person-pattern says", "data")),
        (("--site-column", "hospital"), ("hospital", "no manifest")),
        (("--data", "nowhere"), ("nowhere", "does not exist", "give a folder")),
        (("--public", "nowhere"), ("nowhere", "does not exist")),
        (("--bogus",), ("--bogus",)),
    ],
)  # fmt: skip
def test_a_wrong_flag(flags: tuple[str, ...], named: tuple[str, ...], config: Path, refused: Refused) -> None:
    line = refused("simulate", config, *flags)
    assert all(word in line for word in named), line


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epsilonn = 3", ("unknown key epsilonn: did you mean epsilon?",)),
        ("epsilon = '3'", ("epsilon = '3'", "'3'", "number")),
        ("epsilon = true", ("epsilon", "True", "number")),
        ("rounds = 2.5", ("rounds", "2.5", "integer")),
        ("rounds = '2'", ("rounds", "'2'", "integer")),
        ("rounds = [3]", ("rounds", "[3]", "integer")),
        ("people = true", ("people", "True", "integer")),
        ("data = 3", ("data", "3", "path")),
        ("labels = 'walk'", ("labels", "'walk'")),
        ("labels = ['walk']", ("labels", "data")),
        ("options = { widthh = 8 }", ("widthh", "did you mean width?")),
        ("options = { width = 0 }", ("width", "1 to 2048", "0")),
        ("options = { learning_rate = nan }", ("learning_rate", "nan")),
        ("options = { total_rounds = 9 }", ("total_rounds", "set rounds")),
        ("public_people = 5", ("public_people", "100")),
        ("latent = 300", ("100 windows", "300")),
        ("sampling_rate = nan", ("sampling_rate", "nan")),
        ("clip_norm = inf", ("clip_norm", "inf")),
        ("trust = 'central'\nsteps_per_round = 2", ("steps_per_round", "local")),
        ("epsilon =", ("not valid TOML",)),
        ("[[site]]\nname = 'a b'", ("site.0.name", "a b")),
        ("[[site]]\nname = 'a'\nshare = 0", ("site.0.share", "greater than 0")),
        ("[[site]]\nname = 'a'\nbudget = nan", ("site.0.budget", "nan")),
        ("[[site]]\nname = 'a'\nshares = 1", ("unknown key site.0.shares: did you mean share?",)),
        ("[[site]]\nname = 'a'\n[[site]]\nname = 'a'", ("[[site]]", "same name")),
        ("[[site]]\nname = 'a'\nvalue = 'x'", ("value", "site_column")),
    ],
)  # fmt: skip
def test_a_wrong_file(text: str, named: tuple[str, ...], tmp_path: Path, refused: Refused) -> None:
    keys = {line.split(" =")[0] for line in text.splitlines()}
    rest = [line for line in (PEOPLE + SMALL).splitlines() if line.split(" =")[0] not in keys]
    path = tmp_path / "wrong.toml"
    path.write_text(text if text == "epsilon =" else "\n".join([*rest, text]))
    line = refused("simulate", path)
    assert all(word in line for word in named), line
    assert len(line) < 400


def test_a_preset_and_a_file_must_exist(tmp_path: Path, refused: Refused) -> None:
    assert "'demoo'" in (line := refused("simulate", "demoo")) and "demo" in line
    assert "No such file" in refused("simulate", tmp_path / "none.toml")
    assert "Is a directory" in refused("simulate", write_folder(tmp_path / "x.toml"))


def write_folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_flags_and_the_file_are_told_apart(config: Path, refused: Refused) -> None:
    assert "c.toml" not in refused("simulate", config, "--epsilon", "-1")
    config.write_text("epsilon = -1\n")
    assert "c.toml" in refused("simulate", config)


def test_an_empty_folder_or_one_file(tmp_path: Path, motions: Path, refused: Refused) -> None:
    config = write(tmp_path, "")
    empty = write_folder(tmp_path / "empty")
    line = refused("simulate", config, "--data", empty)
    assert str(empty) in line and "no motion file" in line
    assert "is a file" in refused("simulate", config, "--data", motions / "ann_1.bvh")


def test_a_corrupt_motion_is_named_and_can_be_left_out(
    tmp_path: Path, motions: Path, refused: Refused
) -> None:
    config = write(tmp_path, "")
    good = (motions / "bob_1.bvh").read_text()
    for content in (good[:-300], good.rpartition("\n")[0].rpartition(" ")[0] + " nan\n", "", "HIERARCHY\n"):
        (motions / "bob_1.bvh").write_text(content)
        line = refused("simulate", config, "--data", motions)
        assert "bob_1.bvh" in line and "--skip-bad" in line
    (motions / "bob_1.bvh").unlink()
    (motions / "bob_1.bvh.gz").write_bytes(gzip.compress(good.encode())[:200])
    assert "bob_1.bvh.gz" in refused("simulate", config, "--data", motions)
    options = DataOptions(skip_bad=True)
    assert open_data_set(motions, options).people() == ("ann", "cat", "dan")


def test_mixed_skeletons(tmp_path: Path, motions: Path, refused: Refused) -> None:
    odd = motions / "dan_1.bvh"
    odd.write_text(odd.read_text().replace("head", "skull"))
    line = refused("simulate", write(tmp_path, ""), "--data", motions)
    assert "mixed skeletons" in line and "dan_1.bvh" in line


def test_one_person_only(tmp_path: Path, motions: Path, refused: Refused) -> None:
    for name in ("bob", "cat", "dan"):
        (motions / f"{name}_1.bvh").rename(motions / f"ann_{name}.bvh")
    line = refused("simulate", write(tmp_path, ""), "--data", motions)
    assert "1 person" in line and "--person-pattern" in line


def test_a_label_outside_the_vocabulary(tmp_path: Path, motions: Path, refused: Refused) -> None:
    rows = [f"{name}_1.bvh,{name},walk" for name in ("ann", "bob", "cat", "dan")]
    (motions / "manifest.csv").write_text("\n".join(["file,person,label", *rows]) + "\n")
    config = write(tmp_path, "labels = ['run', 'jump']\n")
    line = refused("simulate", config, "--data", motions)
    assert "'walk'" in line and "jump, run" in line


def test_a_manifest_or_column_that_is_not_there(tmp_path: Path, motions: Path, refused: Refused) -> None:
    config = write(tmp_path, "")
    assert "none.csv" in refused("simulate", config, "--data", motions, "--manifest", "none.csv")
    assert "'ward'" in refused("simulate", config, "--data", motions, "--site-column", "ward")


def test_sensors_have_their_own_description(tmp_path: Path, refused: Refused) -> None:
    config, folder = write(tmp_path, ""), write_folder(tmp_path / "sensors")
    (folder / "s1_a.csv").write_text("t,ax\n0,1\n1,2\n2,3\n")
    assert "sensors.toml" in refused("simulate", config, "--data", folder)
    description = "files = '*.csv'\nperson.pattern = '(?P<person>s[0-9]+)_'\nrate = 1.0\n"
    (folder / "sensors.toml").write_text(f"{description}channels.acc.column = 'missing'\n")
    line = refused("simulate", config, "--data", folder)
    assert "sensors.toml" in line or "'missing'" in line or "1 person" in line
    assert "manifest" in refused("simulate", config, "--data", folder, "--manifest", "m.csv")


@pytest.mark.parametrize("place", ["file/run", "/proc/fedmotion/run"])
def test_an_output_folder_that_cannot_be(place: str, tmp_path: Path, config: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / place
    line = refused("simulate", config, "--out", out)
    assert f"cannot write {out}" in line and "choose another --out" in line


def test_an_output_folder_in_use_is_left_alone(tmp_path: Path, config: Path, refused: Refused) -> None:
    (tmp_path / "run").mkdir()
    kept = tmp_path / "run" / "thesis.txt"
    kept.write_text("years of work")
    line = refused("simulate", config, left=True)
    assert "exists" in line and "--resume" in line and "--out" in line
    assert kept.read_text() == "years of work"
    assert "exists" in refused("simulate", config, "--out", kept, left=True)


def test_a_refused_run_can_be_tried_again_in_the_same_folder(
    tmp_path: Path, config: Path, refused: Refused
) -> None:
    refused("simulate", config, "--delta", "0.5")
    line = refused("simulate", config, "--site-budget", "1", code=3)
    assert "BUDGET_EXHAUSTED" in line and "--site-budget" in line and "--epsilon" in line
    out = tmp_path / "run"
    assert run(fedmotion.COMMANDS, ["simulate", str(config), "--out", str(out)]) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = write_folder(tmp_path / "disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(small_disk: Path, config: Path, refused: Refused) -> None:
    out = small_disk / "run"
    line = refused("simulate", config, "--out", out)
    assert "free space" in line
    assert not out.exists()
    (small_disk / "filler").write_bytes(b"x" * (120 * 1024 - 8192))
    shutil.rmtree(out, ignore_errors=True)
    assert "cannot write" in refused("simulate", config, "--out", out)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--users", "1", "--epsilon", "8"), ("--users", "2 or more")),
        (("--users", "100", "--epsilon", "0"), ("--epsilon", "above 0")),
        (("--users", "100", "--epsilon", "nan"), ("--epsilon", "nan")),
        (("--users", "100", "--epsilon", "inf"), ("--epsilon", "at most 100")),
        (("--users", "100", "--epsilon", "8", "--delta", "0.01"), ("--delta", "1/100")),
        (("--users", "100", "--epsilon", "8", "--sampling-rate", "2"), ("--sampling-rate", "2")),
        (("--users", "100", "--epsilon", "8", "--trust", "none"), ("--trust", "local, secagg or central")),
        (("--epsilon", "8"), ("--users",)),
    ],
)  # fmt: skip
def test_a_wrong_question(arguments: tuple[str, ...], named: tuple[str, ...], refused: Refused) -> None:
    line = refused("plan", *arguments)
    assert all(word in line for word in named), line
