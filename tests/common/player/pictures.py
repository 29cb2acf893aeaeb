"""Motions to show, the windows to show them in, and what a picture of a page shows: figures by their tint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common.motion.population import PRIVATE, synthesise
from common.player.clip import Clip
from server.guarantee import no_guarantee
from tests.browser import Browser

DESK, PHONE, LYING = (1280, 800), (390, 844), (844, 390)
ALARM = no_guarantee("no privacy guarantee: trained without noise")
VIEWS = ("m=2", "view=all", "compare=1,4", "compare=generated,real&layout=floor", "compare=1,4&layout=over")

Picture = NDArray[np.float64]
Mask = NDArray[np.bool_]


def clips() -> list[Clip]:
    """Three generated motions and three real ones, each shorter than the one before."""
    found = list(synthesise(PRIVATE, 3, range(2)))[:6]
    groups = ["generated"] * 3 + ["real"] * 3
    return [
        Clip(str(r.label), group, r.samples[: 61 - 3 * k], str(r.label), f"someone does: {r.label}")
        for k, (r, group) in enumerate(zip(found, groups, strict=True))
    ]


def of_stage(browser: Browser, picture: Picture) -> Picture:
    """The part of a window's picture in which motions stand."""
    left, top, right, bottom = (round(edge) for edge in browser.box(".stage"))
    return picture[top:bottom, left:right]


def tinted(picture: Picture, group: str) -> Mask:
    """Pixels of a group's hue: orange for real motions, blue for generated ones, in light or shade."""
    red, green, blue = (picture[:, :, k] for k in range(3))
    warm = (red - blue > 0.12) & (red - green > 0.04)
    cold = (blue - red > 0.12) & (blue - green > 0.08)
    return np.asarray(warm if group == "real" else cold)


def figures(picture: Picture, group: str, least: int) -> list[Mask]:
    """Patches of the group's tint of at least `least` pixels: gaps of shade closed, thin lines left out."""
    solid = ndimage.binary_closing(np.pad(tinted(picture, group), 8), iterations=4)
    solid = ndimage.binary_opening(solid, iterations=2)[8:-8, 8:-8]
    labels, count = ndimage.label(solid)
    patches = [np.asarray(labels == k) for k in range(1, count + 1)]
    return [patch for patch in patches if patch.sum() >= least]


def edges(mask: Mask) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a patch."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def assert_inside(mask: Mask, margin: int) -> None:
    """The patch keeps `margin` pixels from the picture's edges."""
    top, bottom, left, right = edges(mask)
    height, width = mask.shape
    assert top >= margin and left >= margin
    assert bottom < height - margin and right < width - margin
