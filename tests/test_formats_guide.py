"""docs/formats.md names what can be read, and its examples are what the readers take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from client.datasets import FOLDERS, Format, open_data_set
from client.datasets.base import DataOptions
from client.datasets.manifest import (
    CAPTION_COLUMN,
    FILE_COLUMNS,
    LABEL_COLUMNS,
    PERSON_COLUMNS,
    RECORD_COLUMN,
)
from client.datasets.sensor_layout import read_layout
from common.motion.bvh import read_bvh
from common.motion.c3d import LONGEST_GAP
from common.motion.conventions import CONVENTIONS
from common.motion.joint_map import read_joint_map
from common.motion.sensor_units import DETECT
from common.motion.sensors import UNITS
from common.motion.skeleton import JOINT_NAMES
from tests.common.motion.files import walk, write_humanml3d, write_walk_bvh

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    section = GUIDE.split(heading)[1].split("\n## ")[0]
    return [
        [cell.strip(" `") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*", section, re.M)
    ]


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)


def test_the_table_has_every_format_and_its_suffixes() -> None:
    table = {row[0]: row[1] for row in rows("# What can be read")}
    assert list(table) == list(get_args(Format))
    for name, folder in FOLDERS.items():
        said = set(re.findall(r"\.\w+(?:\.gz)?", table[name]))
        assert name == "humanml3d" or said == set(folder.suffixes), name


def test_the_columns_of_a_manifest_are_named() -> None:
    named = {row[0]: tuple(re.findall(r"\w+", row[1])) for row in rows("## Manifest")}
    assert (("file", *named["file"]), ("person", *named["person"])) == (FILE_COLUMNS, PERSON_COLUMNS)
    assert ("label", *named["label"]) == LABEL_COLUMNS
    assert named.keys() == {"file", "person", "label", CAPTION_COLUMN, RECORD_COLUMN}


def test_every_convention_is_named_and_the_example_of_a_map_is_one(tmp_path: Path) -> None:
    section = GUIDE.split("## BVH\n")[1]
    words = {re.split(r"[ ,]", name)[0] for name in CONVENTIONS} - {"fedmotion"}
    assert (
        not {word for word in words if word not in section and word != "3ds"} and "3ds Max Biped" in section
    )
    (tmp_path / "joints.toml").write_text(blocks()[0])
    joint_map = read_joint_map(tmp_path / "joints.toml")
    assert list(joint_map.mixes) == list(JOINT_NAMES)
    theirs = {ours: next(iter(mix)) for ours, mix in joint_map.mixes.items() if len(mix) == 1}
    path = write_walk_bvh(tmp_path / "a.bvh")
    text = path.read_text()
    for ours, name in theirs.items():
        text = re.sub(rf"(ROOT|JOINT) {ours}$", rf"\1 {name}", text, flags=re.MULTILINE)
    path.write_text(text)
    assert read_bvh(path, joint_map).joints.shape == (61, 22, 3)


def test_the_example_of_a_description_is_one_and_every_unit_is_named(tmp_path: Path) -> None:
    (tmp_path / "sensors.toml").write_text(blocks()[1])
    assert len(read_layout(tmp_path / "sensors.toml").channels) == 6
    listed = GUIDE.split("units are ")[1].split("; `rate`")[0]
    assert set(re.findall(r"`([^`]+)`", listed)) == {*UNITS, DETECT}


def test_the_example_of_people_is_one(tmp_path: Path) -> None:
    lines = [line[4:] for line in GUIDE.splitlines() if re.match(r"^ {4}(motion|\d{6}),", line)]
    folder = write_humanml3d(tmp_path / "hml", {"000000": walk(0), "000001": walk(1), "M000000": walk(2)})
    (folder / "people.csv").write_text("\n".join(lines) + "\n")
    data = open_data_set(folder, DataOptions())
    assert data.people() == ("cmu_07", "kit_3") and len(list(data.recordings(["cmu_07"]))) == 2


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"out of sight for {LONGEST_GAP:g} s" in GUIDE
