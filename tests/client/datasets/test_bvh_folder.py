from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from client.datasets import DataOptions, open_data_set
from common.errors import InputError
from common.motion.bvh import write_bvh
from common.motion.recording import SKELETON
from tests.common.motion.test_kinematics import rigid_motion


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people with two clips each, one of them compressed and in a folder of its own."""
    path = tmp_path / "dances"
    (path / "more").mkdir(parents=True)
    for seed, name in enumerate(["ann_01", "ann_02", "bob_01", "more/bob_02"]):
        write_bvh(path / f"{name}.bvh", rigid_motion(frames=30, seed=seed))
    last = path / "more" / "bob_02.bvh"
    (path / "more" / "bob_02.bvh.gz").write_bytes(gzip.compress(last.read_bytes()))
    last.unlink()
    return path


def write_manifest(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


FULL = """file,person,label,site
ann_01.bvh,Ann,walk,north
ann_02.bvh,Ann,run,north
bob_01.bvh,Bob,walk,south
more/bob_02.bvh.gz,Bob,walk,south
"""


def test_a_folder_needs_no_options(folder: Path) -> None:
    data = open_data_set(folder, DataOptions())
    recordings = list(data.recordings(data.people()))
    assert data.modality == SKELETON and data.labels == () and data.origin == "BVH folder dances"
    assert data.people() == ("ann", "bob") and data.skipped == []
    assert [(r.person, r.name, r.label) for r in recordings] == [
        ("ann", "ann_01", None),
        ("ann", "ann_02", None),
        ("bob", "bob_01", None),
        ("bob", "more/bob_02", None),
    ]
    assert all(r.samples.shape == (30, 22, 3) and r.samples.dtype == np.float32 for r in recordings)


def test_only_the_files_of_the_people_asked_for_are_parsed(folder: Path) -> None:
    bad = folder / "bob_01.bvh"
    bad.write_text(bad.read_text()[:-400])
    data = open_data_set(folder, DataOptions())
    assert [r.name for r in data.recordings(["ann"])] == ["ann_01", "ann_02"]
    with pytest.raises(InputError, match=r"bob_01.*--skip-bad"):
        list(data.recordings(["bob"]))


def test_a_manifest_tells_person_label_and_columns(folder: Path) -> None:
    write_manifest(folder, FULL)
    data = open_data_set(folder, DataOptions())
    assert data.people() == ("Ann", "Bob") and data.labels == ("run", "walk")
    assert [r.label for r in data.recordings(["Bob", "Ann"])] == ["walk", "run", "walk", "walk"]
    assert data.column("site") == {"Ann": "north", "Bob": "south"}
    with pytest.raises(InputError, match="person Ann has two values"):
        data.column("label")
    with pytest.raises(InputError, match="no column 'colour'; its columns are file, person"):
        data.column("colour")


def test_a_pattern_beats_the_manifest(folder: Path) -> None:
    write_manifest(folder, FULL)
    data = open_data_set(folder, DataOptions(person_pattern=r"(?P<person>\d+)$"))
    assert data.people() == ("01", "02") and data.labels == ("run", "walk")


@pytest.mark.parametrize(
    "text, options, message",
    [
        (FULL, DataOptions(labels=("walk",)), "label 'run' is not in the declared vocabulary walk"),
        (FULL.replace("ann_02.bvh,", "ann_09.bvh,"), DataOptions(), "no row for ann_02"),
        (FULL.replace("Bob", "", 1), DataOptions(), "no person in column 'person'"),
        (FULL.replace("ann_02", "ann_01"), DataOptions(), "row 3 names ann_01 again"),
        (FULL + "x\n", DataOptions(), "row 6 has not the 4 cells"),
        (FULL.replace("file,", "path,"), DataOptions(), "needs rows and a column file or clip"),
        (FULL.replace(",run,", ",,"), DataOptions(), "label '' is not"),
    ],
)
def test_a_faulty_manifest_is_named(folder: Path, text: str, options: DataOptions, message: str) -> None:
    write_manifest(folder, text)
    with pytest.raises(InputError, match=message) as caught:
        open_data_set(folder, options)
    assert "\n" not in str(caught.value) and "manifest.csv" in str(caught.value)


def test_rows_without_a_file_are_reported_not_dropped_silently(folder: Path) -> None:
    write_manifest(folder, FULL + "cat_01.bvh,Cat,walk,north\n")
    data = open_data_set(folder, DataOptions())
    assert data.people() == ("Ann", "Bob")
    assert len(data.skipped) == 1 and "1 rows name no file of the folder, first cat_01" in data.skipped[0]


def test_two_possible_manifests_are_not_guessed_between(folder: Path) -> None:
    write_manifest(folder, FULL, "a.csv")
    write_manifest(folder, FULL.replace("walk", "hop"), "b.csv")
    write_manifest(folder, "something,else\n1,2\n", "notes.csv")
    with pytest.raises(InputError, match=r"both a.csv and b.csv"):
        open_data_set(folder, DataOptions())
    assert open_data_set(folder, DataOptions(manifest="b.csv")).labels == ("hop", "run")


def test_bad_files_stop_or_are_listed(folder: Path) -> None:
    first = folder / "ann_01.bvh"
    lines = first.read_text().splitlines()
    lines[-3] = "nan " + lines[-3].split(" ", 1)[1]
    first.write_text("\n".join(lines) + "\n")
    (folder / "bob_01.bvh").write_text("HIERARCHY\n")
    with pytest.raises(InputError, match=r"bob_01.*not a BVH file.*--skip-bad"):
        open_data_set(folder, DataOptions())
    data = open_data_set(folder, DataOptions(skip_bad=True))
    for _ in range(2):  # reading again lists nothing twice
        assert [r.name for r in data.recordings(data.people())] == ["ann_02", "more/bob_02"]
    assert len(data.skipped) == 2
    assert "bob_01" in data.skipped[0] and "frame 28 holds NaN" in data.skipped[1]


def test_mixed_skeletons_are_refused_but_other_bone_lengths_are_not(folder: Path) -> None:
    write_bvh(folder / "cat_01.bvh", 1.2 * rigid_motion(frames=30))
    assert len(list(open_data_set(folder, DataOptions()).recordings(["cat"]))) == 1
    odd = folder / "ann_02.bvh"
    odd.write_text(odd.read_text().replace("left_wrist", "left_hand"))
    with pytest.raises(InputError, match=r"ann_02.*mixed skeletons: joint left_"):
        open_data_set(folder, DataOptions())
    with pytest.raises(InputError, match="also with --skip-bad"):  # else one person's files decide for all
        open_data_set(folder, DataOptions(skip_bad=True))


def test_the_same_motion_twice_is_refused(folder: Path) -> None:
    shutil.copy(folder / "ann_01.bvh", folder / "plain.bvh")
    (folder / "ann_01.bvh.gz").write_bytes(gzip.compress((folder / "ann_01.bvh").read_bytes()))
    with pytest.raises(InputError, match="is the same motion"):
        open_data_set(folder, DataOptions())


@pytest.mark.parametrize("pattern, message", [("([a-z", "not a regular"), ("ann", "needs a group")])
def test_a_faulty_pattern_is_named(folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_data_set(folder, DataOptions(person_pattern=pattern))


def test_missing_and_empty_folders_say_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give a folder"):
        open_data_set(tmp_path / "nowhere", DataOptions())
    with pytest.raises(InputError, match=r"no motion file .* and no known sensor table"):
        open_data_set(tmp_path, DataOptions())


def test_the_real_clips_work_without_options(motion_folder: Path) -> None:
    data = open_data_set(motion_folder.parent, DataOptions())
    assert len(data.people()) == 6 and data.skipped == []
    assert {"walk", "run", "dance", "jump"} <= set(data.labels)
    walks = list(data.recordings(["7"]))
    assert len(walks) == 12 and {r.label for r in walks} == {"walk"}
    assert all(np.isfinite(r.samples).all() for r in walks)
    assert open_data_set(motion_folder, DataOptions()).people() == ("01", "02", "05", "06", "07", "09")


def test_a_skeleton_cut_short_is_a_bad_file_and_no_other_skeleton(folder: Path) -> None:
    whole = (folder / "ann_02.bvh").read_text()
    (folder / "ann_02.bvh").write_text(whole[: whole.index("MOTION") // 2])
    with pytest.raises(InputError, match=r"ann_02.*ends before MOTION.*--skip-bad"):
        open_data_set(folder, DataOptions())
    data = open_data_set(folder, DataOptions(skip_bad=True))
    assert len(list(data.recordings(data.people()))) == 3 and len(data.skipped) == 1


def test_rows_of_files_that_are_refused_are_not_called_absent(folder: Path) -> None:
    write_manifest(folder, FULL)
    data = open_data_set(folder, DataOptions(skip_bad=True, labels=("walk",)))
    assert len(data.skipped) == 1 and "ann_02" in data.skipped[0], data.skipped
    write_manifest(folder, FULL + "gone.bvh,Bob,walk,south\n")
    assert any("rows name no file" in line for line in open_data_set(folder, DataOptions()).skipped), (
        "control"
    )
