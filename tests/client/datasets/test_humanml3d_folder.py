"""HumanML3D folders: who is who has to be said; a motion and its mirror are one person's and one record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.datasets import DataOptions, check_unit, open_data_set
from client.datasets.humanml3d_folder import whole_captions
from client.users import Users
from common.errors import InputError
from common.motion.recording import Recording
from tests.common.motion.files import walk, write_humanml3d

MOTIONS = {"000001": walk(0), "000002": walk(1), "000007": walk(2), "M000001": walk(3)}
PEOPLE = "motion,person,site\n000001,ann,north\n000002,bob,south\n000007,ann,north\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_humanml3d(tmp_path / "hml", MOTIONS)
    return tmp_path / "hml"


def test_people_captions_and_mirrors(folder: Path) -> None:
    (folder / "people.csv").write_text(PEOPLE)
    data = open_data_set(folder, DataOptions())
    assert data.people() == ("ann", "bob") and data.unknown_people is None and data.labels == ()
    check_unit(data, "user")
    recordings = list(data.recordings(data.people()))
    assert [(r.name, r.person, r.record) for r in recordings] == [
        ("000001", "ann", "000001"), ("000002", "bob", "000002"), ("000007", "ann", "000007"),
        ("M000001", "ann", "000001"),
    ]  # fmt: skip
    assert recordings[0].captions == ("a person walks.", "someone strides along")
    assert data.column("site") == {"ann": "north", "bob": "south"}
    assert data.findings.facts["rate"] == {"20 fps": 4}


def test_without_people_only_records_can_be_protected(folder: Path) -> None:
    data = open_data_set(folder, DataOptions())
    with pytest.raises(InputError, match=r"add people.csv with columns motion and person .*--unit record"):
        check_unit(data, "user")
    check_unit(data, "record")
    users = Users.gather(data.recordings(data.people()), data, "record")
    assert len(users) == 3, "a motion and its mirror are one record"
    apart = (replace(r, record="", person=r.name) for r in data.recordings(data.people()))
    assert len(Users.gather(apart, data, "record")) == 4, "control: they are two where nothing joins them"


def test_the_mirror_of_a_known_person_is_the_same_record_too(folder: Path) -> None:
    (folder / "people.csv").write_text(PEOPLE)
    data = open_data_set(folder, DataOptions())
    assert len(Users.gather(data.recordings(data.people()), data, "record")) == 3
    assert len(Users.gather(data.recordings(data.people()), data, "user")) == 2


def test_splits_are_selectable_and_absent_names_are_noted(folder: Path) -> None:
    assert [r.name for r in _all(folder, DataOptions(split="train"))] == ["000001"]
    (folder / "val.txt").write_text("000002\n999999\n")
    data = open_data_set(folder, DataOptions(split="val"))
    assert [r.name for r in data.recordings(data.people())] == ["000002"]
    assert len(data.skipped) == 1 and "1 names have no motion, first 999999" in data.skipped[0]
    with pytest.raises(InputError, match=r"test.txt: no such split; the folder has all, train, val"):
        open_data_set(folder, DataOptions(split="test"))
    (folder / "all.txt").unlink()
    assert len(_all(folder, DataOptions())) == 4


def test_a_person_without_a_row_is_refused_or_listed(folder: Path) -> None:
    (folder / "people.csv").write_text(PEOPLE.replace("000002,bob,south\n", ""))
    with pytest.raises(InputError, match=r"people.csv has no row for 000002; add one, or pass --skip-bad"):
        open_data_set(folder, DataOptions())
    data = open_data_set(folder, DataOptions(skip_bad=True))
    assert data.people() == ("ann",) and [p.file for p in data.findings.problems] == ["000002"]
    (folder / "people.csv").write_text(PEOPLE + "000001,eve,north\n")
    with pytest.raises(InputError, match="row 5 names 000001 again"):
        open_data_set(folder, DataOptions())


def test_a_mirror_is_never_another_person(folder: Path) -> None:
    """Else two people would be protected as one each where one motion is behind both."""
    data = open_data_set(folder, DataOptions(person_pattern="(?P<person>.+)"))
    assert data.people() == ("000001", "000002", "000007")
    (folder / "people.csv").write_text(PEOPLE + "M000001,eve,north\n")
    for skip_bad in (False, True):
        with pytest.raises(InputError, match=r"a copy of 000001, of eve and of ann: give a motion"):
            open_data_set(folder, DataOptions(skip_bad=skip_bad))
    (folder / "people.csv").write_text(PEOPLE + "M000001,ann,north\n")  # the control
    assert open_data_set(folder, DataOptions()).people() == ("ann", "bob")


def test_whether_one_row_names_a_person_decides_nothing_over_others(folder: Path) -> None:
    """With nobody named each motion is a record; with one named, the others were left out under skip_bad."""
    nobody = "motion,person\n000001,\n000002,\n000007,\n"
    (folder / "people.csv").write_text(nobody)
    assert len(open_data_set(folder, DataOptions(skip_bad=True)).people()) == 3
    (folder / "people.csv").write_text(nobody.replace("000007,", "000007,ann"))
    with pytest.raises(InputError, match=r"row of 000001: no person in column 'person'; fill .*--skip-bad"):
        open_data_set(folder, DataOptions(skip_bad=True))


def test_one_person_under_two_spellings_is_refused(folder: Path) -> None:
    (folder / "people.csv").write_text(PEOPLE.replace("000007,ann", "000007,Ann"))
    with pytest.raises(InputError, match="'Ann' and 'ann' look like one person twice"):
        open_data_set(folder, DataOptions(skip_bad=True))


def test_bad_motions_and_texts_leave_the_rest(folder: Path) -> None:
    joints = walk(0).copy()
    joints[3] = np.nan
    np.save(folder / "new_joints" / "000001.npy", joints)
    (folder / "texts" / "000002.txt").write_text("a person walks\n")
    with pytest.raises(InputError, match=r"000001.npy: frame 4 holds NaN.*--skip-bad"):
        _all(folder, DataOptions())
    data = open_data_set(folder, DataOptions(skip_bad=True))
    assert [r.name for r in data.recordings(data.people())] == ["000007", "M000001"]
    assert "000002.txt: line 1 is not sentence#tokens#from#to" in data.skipped[1]


def test_kit_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_humanml3d(tmp_path / "kit", {"00001": walk(0)[:, :21] * 1000})
    with pytest.raises(InputError, match="KIT-ML"):
        _all(folder, DataOptions())


def test_a_folder_of_vectors_alone_is_read(folder: Path) -> None:
    maths = pytest.importorskip("common.motion.humanml3d")
    (folder / "new_joint_vecs").mkdir()
    for file in (folder / "new_joints").glob("*.npy"):
        np.save(folder / "new_joint_vecs" / file.name, maths.to_humanml3d(np.load(file)))
        file.unlink()
    (folder / "new_joints").rmdir()
    assert len(_all(folder, DataOptions())) == 4


def test_captions_of_a_part_are_left_out() -> None:
    lines = ["walks#x#0.0#0.0", "", "turns#x#1.2#3.0", "walks#y#nan#nan", "a # b#x#0#0"]
    with pytest.raises(InputError, match="line 5 is not sentence"):
        whole_captions(Path("a.txt"), lines)
    assert whole_captions(Path("a.txt"), lines[:4]) == ("walks",)


def _all(folder: Path, options: DataOptions) -> list[Recording]:
    data = open_data_set(folder, options)
    return list(data.recordings(data.people()))
