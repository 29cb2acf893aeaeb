"""Every method with options that make it small: what the laws of methods are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from common.method import GradientMethod, digest_arrays
from common.methods import DEFAULT, NAMES, build
from common.plan import Plan
from tests.small_site import ENGINES, OPTIONS, assets_of, make_plan

C = 0.25
"""Below what every method gives at its largest, so that the clip bites."""

PARTS = ("lora", "bias_norm", "condition")
GAN: dict[str, Any] = {"width": 16, "critic_width": 8, "bank": 8, "draw_steps": 2}
METHODS: dict[str, dict[str, Any]] = {
    "dp_sgd": OPTIONS,
    "moments": {"fit_steps": 20},
    "dp_merf": {"count": 64, "fit_steps": 20},
    "dp_mepf": {"units": 64, "fit_steps": 20},
    "pearl": {"count": 64, "fit_steps": 20},
    "private_evolution": {"candidates": 24, "fit_steps": 20},
    "psg": {"per_label": 4, "fit_steps": 20},
    "gs_wgan": {
        "samples": 9,
        "width": 16,
        "critic_width": 12,
        "critic_steps": 2,
        "warm_steps": 3,
        "critic_rate": 0.2,
        "penalty_weight": 0.01,
    },
    "dp_gan": GAN,
    "dp_cgan": GAN,
    "dp_fedavg_gan": {**GAN, "local_steps": 2},
} | {f"dp_sgd/{part}": {**OPTIONS, "width": 96, "train": part, "rank": 2} for part in PARTS}
"""Parts of dp_sgd are wide, so that noise can be told from chance."""


def takes_steps(method: str) -> bool:
    """Whether contributions are gradients, by one of several engines, and a round may be several steps."""
    return issubclass(NAMES[method.split("/")[0]], GradientMethod)


def cases(method: str) -> Iterator[ParameterSet]:
    """The method by the default engine; by the others dp_sgd always, what else has gradients in `attack`."""
    yield pytest.param(method, ENGINES[0])
    if method in NAMES and takes_steps(method):
        marks = () if method == DEFAULT else pytest.mark.attack
        yield from (pytest.param(method, engine, marks=marks) for engine in ENGINES[1:])


CASES = [case for method in METHODS for case in cases(method)]


def law_plan(method: str, **changes: Any) -> Plan:
    name, options = method.split("/")[0], METHODS[method]
    assets = assets_of(name, options)
    dimension, digest = build(name, options, assets).dimension, digest_arrays(assets.arrays())
    plan = replace(make_plan(), method=name, options=options, dimension=dimension, arrays_digest=digest)
    return replace(plan, clip_norm=C, **changes)
