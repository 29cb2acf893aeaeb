"""Images on a page: alike ones together, each group apart, nothing of a title is markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.image import image_modality
from common.player.gallery import REAL, exhibits, write_page
from common.player.picture import Picture, picture_grid

DARK = np.zeros((8, 8), np.float32)


def test_alike_images_stand_together_and_real_ones_are_marked(tmp_path: Path) -> None:
    modality = image_modality(8, 8)
    items = [
        *exhibits([DARK] * 3, modality, "generated", ["b", "a", "b"]),
        *exhibits([DARK], modality, REAL, ["<script>"]),
    ]
    page = write_page(items, tmp_path / "index.html", "images").read_text()
    assert page.index(">a</figcaption>") < page.index(">b</figcaption>") < page.index("&lt;script&gt;")
    assert "This page is not a release" in page and "<script>" not in page.split("<body>")[1]
    assert "http" not in page.split("<body>")[1]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [(np.zeros((2, 8, 8), np.float32), "shape"), (np.full((8, 8), np.nan, np.float32), "not finite")],
)
def test_what_is_no_image_is_named(pixels: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        picture_grid([Picture("one", "generated", pixels)])
    with pytest.raises(InputError, match="at least one"):
        picture_grid([])
