"""A file of a sweep becomes cells, a wrong one a line that names its key."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from common.errors import InputError
from common.methods import NAMES
from simulations.config import read_config
from simulations.sweep import Sweep, read_sweep

ROOT = Path(__file__).resolve().parents[2]
GRID = 'people = 40\n[grid]\nmethod = ["moments", "dp_sgd"]\nepsilon = [1.0, inf]\nseed = [0, 1]\n'


def read(tmp_path: Path, text: str) -> Sweep:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return read_sweep(path)


def test_a_grid_has_every_combination_and_each_its_own_name(tmp_path: Path) -> None:
    found = read(tmp_path, f"[base]\n{GRID}")
    assert found.keys == ("method", "epsilon", "seed") and len(found.cells) == 8
    assert len({cell.name for cell in found.cells}) == 8
    first = found.cells[0]
    assert first.name == "moments-epsilon1.0-seed0" and first.point["method"] == "moments"
    assert first.settings == {"people": 40, "method": "moments", "epsilon": 1.0, "seed": 0}
    assert math.isinf(found.cells[-1].checked().epsilon)


def test_a_cells_file_says_to_simulate_what_the_cell_means(tmp_path: Path) -> None:
    text = (
        f"[base]\noptions = {{ width = 8 }}\n{GRID}"
        "[method.dp_sgd]\nrounds = 3\noptions = { replicas = 1 }\n"
    )
    found = {cell.name: cell for cell in read(tmp_path, text).cells}
    cell = found["dp_sgd-epsiloninf-seed1"]
    assert cell.settings["rounds"] == 3 and cell.settings["options"] == {"width": 8, "replicas": 1}
    assert found["moments-epsilon1.0-seed0"].settings["options"] == {"width": 8}
    (tmp_path / "cell.toml").write_text(cell.text)
    assert read_config(str(tmp_path / "cell.toml"), {}) == cell.checked()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = '[base]\ndata = "recordings"\n[grid]\nepsilon = [1.0]\npublic = ["one/motions", "two/motions"]\n'
    cells = read(tmp_path, text).cells
    assert {cell.checked().data for cell in cells} == {tmp_path / "recordings"}
    assert {cell.checked().public for cell in cells} == {tmp_path / "one/motions", tmp_path / "two/motions"}
    assert len({cell.name for cell in cells}) == 2 and not any("/" in cell.name for cell in cells)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[base]\npeople = 4\n", r"\[grid\] is missing"),
        ("[bas]\n[grid]\nseed = [0]\n", "unknown table bas: did you mean base"),
        ("base = 3\n[grid]\nseed = [0]\n", "base must be a table"),
        ("[base]\npeopel = 4\n[grid]\nseed = [0]\n", r"unknown key base\.peopel: did you mean people"),
        ("[grid]\nepsilom = [1]\n", r"unknown key grid\.epsilom: did you mean epsilon"),
        ("[grid]\nseed = 0\n", r"grid\.seed = 0: it must be a list"),
        ("[grid]\nseed = []\n", r"grid\.seed = \[\]: it must be a list"),
        ("[grid]\nseed = [0, 1, 0]\n", r"grid\.seed lists 0 twice"),
        ("[grid]\noptions = [{width = 3}]\n", r"grid\.options holds .*\[method\.NAME\]"),
        ("[base]\nseed = 1\n[grid]\nseed = [0]\n", r"grid\.seed is in \[base\] as well"),
        ('[grid]\nmethod = ["momets"]\n', "unknown method 'momets': did you mean moments"),
        ("[grid]\nseed = [0]\n[method.moments]\nrounds = 1\n", r"\[method\.moments\] is of no cell"),
        ('[grid]\nmethod = ["dp_sgd"]\nseed = [0]\n[method.dp_sgd]\nseed = 3\n', r"dp_sgd\.seed is in"),
        ('[grid]\nmethod = ["dp_sgd"]\n[method.dp_sgd]\nround = 3\n', r"method\.dp_sgd\.round: did you mean"),
        ("[grid]\nepsilon = [1.0, -1.0]\n", r"cell epsilon2: epsilon = -1\.0: it must be greater than 0"),
        ('[base]\noptions = {widht = 3}\n[grid]\nmethod = ["moments"]\n', "unknown option 'widht'"),
        ('[base]\noptions = {width = 3}\n[grid]\nmethod = ["auto"]\n', "options are of one method"),
        (f"[grid]\nseed = {list(range(200))}\npeople = {list(range(2, 102))}\n", "20,000 cells"),
        ("[grid\n", "not valid TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "grid.toml")) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "simulations" / "sweeps").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_sweeps_that_come_with_the_program_are_read(path: Path) -> None:
    assert len(read_sweep(path).cells) >= 12


def test_all_is_every_method_there_is(tmp_path: Path) -> None:
    cells = read(tmp_path, '[grid]\nmethod = "all"\n').cells
    assert [cell.name for cell in cells] == list(NAMES)
