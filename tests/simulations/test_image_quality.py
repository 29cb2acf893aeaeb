"""Which images are held out, and what is measured where little or nothing can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from common.generator.generator import Generator
from common.motion.image import image_modality
from simulations.config import Simulation
from simulations.corpus import Corpus
from simulations.evaluation.image_quality import figures, image_quality, image_reference
from simulations.prepare import open_people
from tests.idx_files import write_set


def config(folder: Path, test: int, **said: Any) -> Simulation:
    return Simulation(data=write_set(folder / "set", 200, test), unit="record", **said)


@pytest.mark.parametrize(("holdout", "remarks"), [(0.0, False), (0.2, True)])
def test_the_t10k_files_are_held_out_and_a_share_beside_them_is_said_to_be_wasted(
    tmp_path: Path, holdout: float, remarks: bool
) -> None:
    settings = config(tmp_path, 120, holdout=holdout)
    reference, remark = image_reference(settings, open_people(settings))
    assert len(reference.held_out.windows) == 120
    assert ("set holdout to 0" in remark) == remarks


def test_without_t10k_files_the_share_is_held_out(tmp_path: Path) -> None:
    settings = config(tmp_path, 0, holdout=0.3)
    reference, remark = image_reference(settings, open_people(settings))
    assert 30 < len(reference.held_out.windows) < 90 and remark == ""
    assert len(reference.held_out.windows) + len(reference.trained.windows) == 200
    found = image_quality(cast(Generator, None), None, reference, open_people(settings))
    assert found["frechet"]["private"] is None and "fewer than 100 images" in found["missing"][0]


def test_images_without_labels_have_a_distance_and_no_accuracy() -> None:
    random = torch.Generator().manual_seed(0)
    real, close, far = (torch.rand(300, 12, 12, generator=random) * scale for scale in (1.0, 1.0, 0.3))
    labels = torch.zeros(300, dtype=torch.int64)
    rows = [
        figures(Corpus(part, labels), Corpus(real, labels), image_modality(12, 12), ())
        for part in (close, far)
    ]
    assert all(row["cnn"] is None and row["logistic"] is None for row in rows)
    assert rows[0]["frechet"] is not None and rows[1]["frechet"] is not None
    assert rows[0]["frechet"] < rows[1]["frechet"] / 3
