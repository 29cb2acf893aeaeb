"""Motions as files in the layouts that others read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.export import FORMATS, write_motions
from common.motion.humanml3d import from_humanml3d, to_humanml3d
from tests.common.motion.glb import Glb
from tests.common.motion.people import clean


def read_as_humanml3d_is_read(
    folder: Path,
) -> dict[str, tuple[np.ndarray, list[tuple[str, list[str], float]]]]:
    """Name -> vectors and captions, as the loaders of that data set take them apart."""
    found = {}
    for name in (folder / "all.txt").read_text().split():
        vectors = np.load(folder / "new_joint_vecs" / f"{name}.npy")
        captions = []
        for line in (folder / "texts" / f"{name}.txt").read_text().splitlines():
            caption, tokens, start, end = line.strip().split("#")
            pairs = [token.split("/") for token in tokens.split(" ")]
            assert all(len(pair) == 2 for pair in pairs) and float(end) == 0
            captions.append((caption, [word for word, _ in pairs], float(start)))
        found[name] = (vectors, captions)
    return found


def test_a_humanml3d_folder_reads_as_that_data_set_does(tmp_path: Path) -> None:
    motions = list(clean("walk")[:3])
    captions = [("a person walks", "someone #strolls, slowly/\nahead"), (), ("gehen: größer!",)]
    paths = write_motions(motions, tmp_path, "humanml3d", ["0_a", "1_b", "2_c"], captions=captions)
    assert [path.name for path in paths] == ["0_a.npy", "1_b.npy", "2_c.npy"]
    found = read_as_humanml3d_is_read(tmp_path)
    assert list(found) == ["0_a", "1_b", "2_c"]
    for motion, (vectors, _) in zip(motions, found.values(), strict=True):
        assert vectors.dtype == np.float32 and vectors.shape == (59, 263)
        assert np.array_equal(vectors, to_humanml3d(motion, hml_compat=True))
    joints = np.load(tmp_path / "new_joints" / "1_b.npy")
    assert np.array_equal(joints, from_humanml3d(found["1_b"][0]))
    assert found["0_a"][1][0] == ("a person walks", ["a", "person", "walks"], 0.0)
    assert found["0_a"][1][1][1] == ["someone", "strolls", "slowly", "ahead"]
    assert found["1_b"][1] == [("a person moves", ["a", "person", "moves"], 0.0)]
    assert found["2_c"][1][0][1] == ["gehen", "größer"]


def test_gltf_files_have_the_suffix_that_viewers_know(tmp_path: Path) -> None:
    (path,) = write_motions([clean("kick")[0]], tmp_path, "gltf", ["k"], note="test mode")
    assert path.name == "k.glb"
    assert Glb(path.read_bytes()).document["asset"]["extras"]["note"] == "test mode"


@pytest.mark.parametrize("format", ["htm", "glb", "csv", "BVH", ""])
def test_any_other_format_names_those_there_are(format: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bvh or gltf or npy or humanml3d"):
        write_motions([clean("kick")[0]], tmp_path / "out", format, ["k"])
    assert not (tmp_path / "out").exists()


def test_every_format_of_the_list_is_written(tmp_path: Path) -> None:
    for kind, motion in (("skeleton", clean("wave")[0]), ("sensor", np.zeros((64, 6), np.float32))):
        for format in FORMATS[kind]:
            (path,) = write_motions([motion], tmp_path / kind / format, format, ["m"])
            assert path.stat().st_size > 100
