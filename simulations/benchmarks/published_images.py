"""What others published of MNIST and Fashion-MNIST; nothing in here was measured by us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TABULATED: Final = "DPDM's table"
_SLIDES: Final = "PSG's slides"
PUBLISHED: Final[Mapping[tuple[str, str, float], tuple[str, str]]] = {
    ("dpdm", "mnist", 1.0): ("86.7 / 91.6 / 95.3", _TABULATED),
    ("dpdm", "mnist", 10.0): ("90.8 / 94.8 / 98.1", _TABULATED),
    ("dpdm", "fashion-mnist", 1.0): ("76.3 / 76.9 / 79.4", _TABULATED),
    ("dpdm", "fashion-mnist", 10.0): ("81.1 / 83.0 / 86.2", _TABULATED),
    ("gs_wgan", "mnist", 1.0): ("- / - / 72.4", "DPImageBench"),
    ("gs_wgan", "mnist", 10.0): ("79 / 79 / 80", _TABULATED),
    ("gs_wgan", "fashion-mnist", 1.0): ("- / - / 52.7", "DPImageBench"),
    ("gs_wgan", "fashion-mnist", 10.0): ("68 / 65 / 65", _TABULATED),
    ("dp_merf", "mnist", 1.0): ("- / - / 80.3", "DPImageBench"),
    ("dp_merf", "mnist", 10.0): ("79.4 / 78.3 / 82.1", _TABULATED),
    ("dp_merf", "fashion-mnist", 1.0): ("- / - / 62.2", "DPImageBench"),
    ("dp_merf", "fashion-mnist", 10.0): ("75.5 / 74.5 / 75.4", _TABULATED),
    ("dp_mepf", "mnist", 1.0): ("82.5 / 89.3 / -", _TABULATED),
    ("dp_mepf", "mnist", 10.0): ("83.4 / 89.8 / -", _TABULATED),
    ("dp_mepf", "fashion-mnist", 1.0): ("75.4 / 74.7 / -", _TABULATED),
    ("dp_mepf", "fashion-mnist", 10.0): ("75.7 / 76.0 / -", _TABULATED),
    ("psg", "mnist", 10.0): ("- / - / 95.6", _SLIDES),
    ("psg", "fashion-mnist", 10.0): ("- / - / 77.7", _SLIDES),
}  # fmt: skip
"""Downstream accuracy in percent, logistic / MLP / CNN, and where it stands: none of them is ours."""
