"""Images from idx files: every image is its own unit, and a file that does not keep its word is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from client.datasets import DataOptions, check_unit, open_data_set
from client.datasets.idx_folder import IdxFolder
from client.inspection import inspect_data
from client.users import Share, Users
from common.errors import InputError
from tests.conftest import DATA
from tests.idx_files import idx, squares, write_set

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_classes_come_as_they_were_written(tmp_path: Path, packed: bool) -> None:
    data = open_data_set(write_set(tmp_path / "set", 30, 10, packed=packed), DataOptions())
    images, labels = squares(30, 16, 0)
    found = list(data.recordings(data.people()))
    assert np.allclose([r.samples for r in found], images / 255.0, atol=1e-7)
    assert [r.label for r in found] == [str(label) for label in labels]
    assert (data.modality.kind, data.modality.window, len(data.modality.channels)) == ("image", 16, 16)
    some = data.people()[3:5]
    assert [r.person for r in data.recordings(some)] == list(some)
    assert isinstance(data, IdxFolder) and len(data.held_out()) == 10
    assert not {r.person for r in data.held_out()} & set(data.people())


def test_an_image_is_the_unit_and_no_person_can_be(tmp_path: Path) -> None:
    data = open_data_set(write_set(tmp_path / "set", 30, 0), DataOptions())
    with pytest.raises(InputError, match=r"does not say whose image it is.*--unit record"):
        check_unit(data, "user")
    check_unit(data, "record")
    users = Users.gather(data.recordings(data.people()), data, "record")
    assert len(users) == 30 and len(set(users.names)) == 30
    parts = [Share(seed=0, start=0.0, stop=0.5), Share(seed=0, start=0.5, stop=1.0)]
    assert sorted(sum((part.select(data) for part in parts), ())) == sorted(data.people())


def test_classes_are_named_in_their_order(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 30, 0)
    data = open_data_set(folder, DataOptions(labels=("shirt", "boot", "bag", "coat")))
    _, labels = squares(30, 16, 0)
    assert [r.label for r in data.recordings(data.people())] == [data.labels[i] for i in labels]
    few = open_data_set(folder, DataOptions(labels=("shirt", "boot")))
    with pytest.raises(InputError, match=r"class 3 has no name.*shirt, boot"):
        list(few.recordings(few.people()))


def test_inspection_counts_images_and_no_seconds(tmp_path: Path) -> None:
    found = inspect_data(open_data_set(write_set(tmp_path / "set", 30, 0), DataOptions()), False, False)
    assert (found["motions"], found["windows"], found["seconds"]) == (30, 30, 0.0)
    assert found["people"] is None and not found["user_level"]


def broken(folder: Path, name: str, content: bytes) -> Path:
    (folder / f"{name}.gz").unlink()
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (IMAGES, lambda b: b[:10], "truncated: 10 bytes are no head"),
        (IMAGES, lambda b: b[:-1], "truncated: it declares 7,680 values and holds 7,679"),
        (IMAGES, lambda b: b + b"x", "longer than it says"),
        (IMAGES, lambda b: b"\0\0\x0d\3" + b[4:], "starts with 00000d03, expected 00000803"),
        (IMAGES, lambda b: b[:4] + b"\xff" * 12 + b[16:], "declares 4294967295 x 4294967295"),
        (IMAGES, lambda b: idx(np.zeros((30, 4, 16), np.uint8)), "images of 4 x 16 pixels: from 8 to 64"),
        (LABELS, lambda b: b[:-1], "truncated: it declares 30 values"),
        (LABELS, lambda b: idx(np.zeros(29, np.uint8)), "declares 29 labels for 30 images"),
    ],
)
def test_a_file_that_does_not_keep_its_word_is_one_clear_line(
    tmp_path: Path, name: str, change: object, said: str
) -> None:
    folder = write_set(tmp_path / "set", 30, 0)
    content = gzip.decompress((folder / f"{name}.gz").read_bytes())
    broken(folder, name, change(content))  # type: ignore[operator]
    with pytest.raises(InputError, match=said) as caught:
        data = open_data_set(folder, DataOptions())
        list(data.recordings(data.people()))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_packed_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 300, 0)
    path = folder / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-500])
    data = open_data_set(folder, DataOptions())
    with pytest.raises(InputError, match="truncated: the packed file is cut off"):
        list(data.recordings(data.people()))
    path.write_bytes(b"no gzip at all, and long enough for a head")
    with pytest.raises(InputError, match="cannot be read"):
        open_data_set(folder, DataOptions())


@pytest.mark.parametrize("options", [{"manifest": "m.csv"}, {"person_pattern": "(?P<person>x)"}])
def test_options_about_people_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(InputError, match="no manifest and no names of people"):
        open_data_set(write_set(tmp_path / "set", 30, 0), DataOptions(**options))  # type: ignore[arg-type]


def test_held_out_images_have_the_size_of_the_others(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 30, 0)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 20, 16), np.uint8)))
    data = open_data_set(folder, DataOptions())
    assert isinstance(data, IdxFolder)
    with pytest.raises(InputError, match="images of 20 x 16, and those in training have 16 x 16"):
        data.held_out()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_published_sets_are_read(name: str) -> None:
    folder = DATA / "images" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}: the idx files of {name} are not on this machine")
    data = open_data_set(folder, DataOptions())
    assert len(data.people()) == 60_000 and len(data.labels) == 10
    first = next(iter(data.recordings(data.people()[:1])))
    assert first.samples.shape == (28, 28) and 0 <= first.samples.min() < first.samples.max() <= 1
    assert first.label == {"mnist": "5", "fashion-mnist": "9"}[name]
