"""A design builds what it names, or says in one line why it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.transformer import Transformer
from common.generator.denoisers.unet import UNet
from common.generator.design import Design
from common.generator.diffusion import PARAMETERISATIONS, TABLE
from common.generator.noise_levels import NoiseLevels
from common.generator.sensor_codec import SensorCodec
from common.methods import build, options_of
from common.motion.features import FEATURES
from common.motion.recording import Modality
from tests.common.generator.sequences import frames_codec

FRAMES = Assets(frames_codec(60, 4))
WHOLE = Assets(SensorCodec(Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x",)), ("a", "b")))


def test_a_name_is_a_network_over_the_codecs_frames() -> None:
    mlp = Design().denoiser_of(WHOLE)
    assert mlp == ResidualMLP(labels=2, channels=WHOLE.codec.latent, width=32, depth=1)
    unet = Design(denoiser="unet", width=64, depth=2).denoiser_of(FRAMES, text=7)
    assert unet == UNet(labels=2, text=7, frames=60, channels=4, width=64, depth=2)
    design = Design(denoiser="transformer", width=24, depth=3, heads=2, feed=4, norm_order="after")
    expected = Transformer(
        labels=2, frames=60, channels=4, width=24, depth=3, heads=2, feed=4, norm_first=False
    )
    assert design.denoiser_of(FRAMES) == expected


@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_noise_levels_are_the_parameterisations_own_unless_said(name: str) -> None:
    design = Design(parameterisation=name, P_mean=-1.0)
    net = design.denoiser_of(WHOLE)
    assert design.objective_of(WHOLE, net, 2).noise_levels == NoiseLevels(TABLE[name].noise_levels, -1.0)
    other = replace(design, noise_levels="log_snr").objective_of(WHOLE, net, 2)
    assert other.noise_levels.kind == "log_snr"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"denoiser": "unet"}, "works on frames.*set denoiser = mlp"),
        (
            {"denoiser": "transfomer"},
            "'denoiser' of method 'dp_sgd' is 'transfomer': did you mean transformer",
        ),
        ({"denoiser": 3}, "is 3: choose from mlp, unet, transformer"),
        ({"parameterisation": "ddim"}, "choose from edm, v, vp, ve, x0, epsilon"),
        ({"parametrisation": "v"}, "unknown option 'parametrisation'.*did you mean parameterisation"),
        ({"geometric": 1.0}, "set geometric = 0"),
        ({"geometric": -1.0}, "from 0.0 to 100.0"),
        ({"heads": 0}, "'heads'.*from 1 to 64, got 0"),
        ({"feed": 9}, "'feed'.*from 1 to 8"),
        ({"diffusion_steps": 1}, "from 2 to 10000"),
    ],
)
def test_wrong_designs_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        method = build("dp_sgd", options, WHOLE)
        assert method.dimension and method.objective  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"denoiser": "transformer", "heads": 3}, "multiple of twice the heads"),
        ({"denoiser": "transformer", "depth": 0}, "needs a layer"),
        ({"denoiser": "unet", "width": 64, "depth": 0}, "from 1 to 4 times"),
        ({"denoiser": "unet", "width": 50}, "multiple of 16"),
        ({"denoiser": "transformer", "width": 2048, "depth": 16}, "denoiser of 541,.* at most 100,000,000"),
    ],
)
def test_a_network_too_large_or_misfit_is_never_made(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", None)  # nothing is allocated
    with pytest.raises(InputError, match=message):
        _ = build("dp_sgd", options, FRAMES).dimension


def test_geometry_goes_with_codecs_of_features() -> None:
    codec = replace(frames_codec(60, FEATURES), units=(torch.zeros(FEATURES), torch.ones(FEATURES)))
    method = build("dp_sgd", {"geometric": 0.5}, Assets(codec))
    assert method.objective.geometry is not None  # type: ignore[attr-defined]
    assert options_of(method)["geometric"] == 0.5
