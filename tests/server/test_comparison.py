"""Recordings beside generated motions: read from what the user names, refused by name, marked on the page."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.bvh import write_bvh
from common.motion.export import write_motions
from common.motion.population import PRIVATE, synthesise
from common.motion.recording import SKELETON
from common.motion.sensors import SENSOR
from common.player.gallery import FRAMES_A_PAGE, RECORDINGS, exhibits, write_page
from server.comparison import read_recorded
from server.generate import Samples, write
from tests.common.player.test_pages import Page

MOTIONS = [r.samples for r in synthesise(PRIVATE, 3, range(2))][:5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four recordings in three files, and what else lies about in a folder."""
    found = tmp_path / "recordings"
    found.mkdir()
    write_bvh(found / "loud.bvh", MOTIONS[0])
    (found / "loud.bvh").rename(found / "anna_walk.BVH")
    write_bvh(found / "plain.bvh", MOTIONS[1])
    (found / "bert_kick.bvh.gz").write_bytes(gzip.compress((found / "plain.bvh").read_bytes()))
    (found / "plain.bvh").unlink()
    np.save(found / "pair.npy", np.stack([MOTIONS[2][:40], MOTIONS[3][:40]]))
    (found / "notes.txt").write_text("not a motion")
    (found / ".hidden.bvh").write_text("not one either")
    return found


def test_a_folder_gives_its_motions_in_the_order_of_names(folder: Path) -> None:
    found, left = read_recorded(folder, SKELETON, 10)
    assert [motion.title for motion in found] == ["anna_walk", "bert_kick", "pair 1", "pair 2"] and left == 0
    assert [motion.samples.shape[1:] for motion in found] == [(22, 3)] * 4
    np.testing.assert_allclose(np.ptp(found[2].samples, axis=0), np.ptp(MOTIONS[2][:40], axis=0), atol=0.2)
    assert all(abs(motion.samples[..., 1].min()) < 1e-5 for motion in found)  # on the floor
    few, left = read_recorded(folder, SKELETON, 1)
    assert [motion.title for motion in few] == ["anna_walk"] and left == 2
    assert [motion.title for motion in read_recorded(folder / "pair.npy", SKELETON, 1)[0]] == ["pair 1"]


def test_sensor_windows_are_read_as_they_were_written(tmp_path: Path) -> None:
    window = np.random.default_rng(0).normal(size=(SENSOR.window, len(SENSOR.channels))).astype(np.float32)
    write_motions([window], tmp_path, "csv", ["walk"], SENSOR)
    ((title, samples),), _ = read_recorded(tmp_path, SENSOR, 3)
    assert title == "walk"
    np.testing.assert_allclose(samples, window, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.bvh", b"HIERARCHY", "not a BVH|not a readable BVH"),
        ("cut.npy", b"\x93NUMPY\x01\x00v\x00{'descr'", "not a readable npy"),
        ("wrong.npy", np.zeros((10, 21, 3), np.float32), r"shape \(10, 21, 3\)"),
        ("words.npy", np.array(["a", "b"]), "expected numbers"),
        ("nan.npy", np.full((10, 22, 3), np.nan, np.float32), "not finite"),
        ("objects.npy", np.array([{}], dtype=object), "not a readable npy"),
        ("motion.fbx", b"", "no skeleton motions here"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    name: str, content: bytes | np.ndarray, words: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content, allow_pickle=True)
    with pytest.raises(InputError, match=words) as caught:
        read_recorded(file, SKELETON, 4)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_recorded(tmp_path / "nothing", SKELETON, 4)


def test_a_csv_of_another_rate_or_device_is_named(tmp_path: Path) -> None:
    head = ",".join(["time", *SENSOR.channels])
    row = ",1" * len(SENSOR.channels)
    (tmp_path / "fast.csv").write_text(f"{head}\n0{row}\n0.001{row}\n")
    with pytest.raises(InputError, match=r"a row every 0\.001 s"):
        read_recorded(tmp_path / "fast.csv", SENSOR, 4)
    (tmp_path / "other.csv").write_text("time,a,b\n0,1,2\n")
    with pytest.raises(InputError, match="expected the columns time"):
        read_recorded(tmp_path / "other.csv", SENSOR, 4)


def test_a_page_with_recordings_says_what_they_are_and_opens_with_a_comparison(
    folder: Path, tmp_path: Path
) -> None:
    samples = Samples(
        SKELETON, MOTIONS, ["walk"] * len(MOTIONS), "no privacy guarantee: trained without noise"
    )
    real, _ = read_recorded(folder, SKELETON, 32)
    (path,) = write(samples, "html", tmp_path / "with", "Compared", real)
    text = path.read_text(encoding="utf-8")
    groups = [clip["group"] for clip in json.loads(Page(text).scripts["motions"])["clips"]]
    assert groups == ["generated"] * 5 + ["real"] * 4
    assert RECORDINGS in text and 'data-start="view=compare"' in text
    assert text.index('role="alert"') < text.index(RECORDINGS) < text.index('class="player"')
    (alone,) = write(samples, "html", tmp_path / "without", "Alone")
    assert RECORDINGS not in alone.read_text(encoding="utf-8")


def test_long_recordings_are_cut_and_their_captions_say_so(tmp_path: Path) -> None:
    long = np.repeat(MOTIONS[0], 220, axis=0)  # more than eleven minutes
    path = write_page(exhibits([long], SKELETON, "real", ["long"]), tmp_path / "page.html", "Long")
    (clip,) = json.loads(Page(path.read_text(encoding="utf-8")).scripts["motions"])["clips"]
    assert clip["frames"] == FRAMES_A_PAGE
    assert clip["caption"] == f"(the first {FRAMES_A_PAGE / 20:.0f} of {len(long) / 20:.0f} s)"


def test_motions_and_windows_are_exported_as_one_page(tmp_path: Path) -> None:
    (page,) = write_motions(MOTIONS, tmp_path / "skeletons", "html", [f"{k}" for k in range(len(MOTIONS))])
    assert len(json.loads(Page(page.read_text(encoding="utf-8")).scripts["motions"])["clips"]) == len(MOTIONS)
    window = np.zeros((SENSOR.window, len(SENSOR.channels)), np.float32)
    (page,) = write_motions([window], tmp_path / "windows", "html", ["still"], SENSOR)
    assert "still" in page.read_text(encoding="utf-8")
