"""Groups are told apart by eyes that see two colours (their marks differ in shape besides)."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from common.player.pages import asset

# Machado, Oliveira and Fernandes 2009, table 1, severity 1: linear RGB as such an eye sees it.
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
FAR = 20.0  # CIE 1976 colour difference; about 2 is just seen


def colours(variable: str) -> list[str]:
    """The values of a style variable, light and dark."""
    return re.findall(rf"--{variable}: #([0-9a-f]{{6}})", asset("page.css"))


def lab(colour: str, eye: str) -> NDArray[np.float64]:
    """CIE L*a*b* (D65) of an sRGB colour as an eye sees it."""
    encoded = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ np.clip(EYES[eye] @ linear, 1e-3, 1) / XYZ.sum(1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(one: str, other: str, eye: str) -> float:
    return float(np.linalg.norm(lab(one, eye) - lab(other, eye)))


@pytest.mark.parametrize("eye", EYES)
def test_groups_differ_for_every_eye(eye: str) -> None:
    groups = [colours(name) for name in ("generated", "real", "public")]
    assert [len(found) for found in groups] == [2, 2, 2]
    for theme in zip(*groups, strict=True):
        for one, other in itertools.combinations(theme, 2):
            assert difference(one, other, eye) > FAR, (one, other)


def test_control_red_and_green_of_one_lightness_are_confused() -> None:
    assert difference("b8860b", "6f9b1d", "usual") > FAR > difference("b8860b", "6f9b1d", "deuteranopia")
