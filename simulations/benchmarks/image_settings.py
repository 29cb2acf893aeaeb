"""How each method is run on images, and what its rows differ in from the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MOVED: Final = {"motions": 1, "points": 1000, "move_steps": 200, "move_rate": 0.1, "fit_steps": 1500}

SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "moments": {"options": {"motions": 1, "covariance": "diagonal", "fit_steps": 800}},
    "dp_merf": {"options": {**_MOVED, "frequencies": "gaussian", "count": 2000, "bandwidth": 30.0}},
    "dp_mepf": {"options": {**_MOVED, "units": 1000}},
    "psg": {
        "rounds": 150,
        "sampling_rate": 0.02,
        "clip_norm": 1.0,
        "options": {
            "motions": 1, "per_label": 20, "hidden": 64, "set_rate": 0.05, "kernel": 0.3, "fit_steps": 1500,
        },
    },
}  # fmt: skip
"""Over what a method usually takes. Found on the first 50,000 training images of MNIST, without noise, and
tried on the last 10,000 of them: neither t10k images nor Fashion-MNIST had a say."""

DEVIATIONS: Final[Mapping[str, str]] = {}
