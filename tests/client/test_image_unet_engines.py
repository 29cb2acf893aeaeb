"""Book-keeping has a rule for every parameter of the U-Net of images, and the network treats images alike."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from client.clipping.choice import choose
from client.clipping.direct import looped, mapped
from client.clipping.keep import Keep
from client.clipping.step import Step
from client.speed import Speed
from common.errors import InputError
from common.generator.assets import Assets
from common.generator.codecs import fit_codec
from common.generator.condition import Condition
from common.generator.denoisers.image_unet import ImageUNet
from common.methods import build
from common.methods.dp_sgd import DPSGD
from common.motion.image import image_modality
from common.vector import Layout
from tests.clipping import rows_of
from tests.common.generator.sequences import shaken

ROWS, COLUMNS, UNITS = 11, 10, 3
OPTIONS = {"denoiser": "unet2d", "width": 8, "depth": 2, "motions": 2, "replicas": 2}


def method() -> DPSGD:
    codec = fit_codec("identity", None, image_modality(ROWS, COLUMNS), ("a", "b"), 32)
    made = build("dp_sgd", OPTIONS, Assets(codec))
    assert isinstance(made, DPSGD)
    return made


def examples(units: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    place, wide = (units, 2), (units, 2, 2)
    condition = Condition.of(torch.randint(3, place, generator=random), ROWS)
    return {
        "latents": torch.randn(*place, ROWS * COLUMNS, generator=random, dtype=torch.float64),
        **condition._asdict(),
        "sigma": torch.exp(torch.randn(wide, generator=random, dtype=torch.float64)),
        "noise": torch.randn(*wide, ROWS * COLUMNS, generator=random, dtype=torch.float64),
        "mask": torch.tensor([[True, True], [True, False]] * units)[:units],
    }


def test_no_parameter_is_without_a_rule() -> None:
    made = method()
    parameters = {n: v.double() for n, v in shaken(made.network.init(0)).items()}
    step = Step(made, Layout.of(parameters), 0.0)
    batch = examples(UNITS)
    expected = rows_of(looped(step, parameters, batch), UNITS)
    assert (expected.norm(dim=1) > 0).all()
    for compute in (Keep(step), lambda p, e: mapped(step, p, e)):
        found = rows_of(compute(parameters, batch), UNITS)
        assert float((found - expected).abs().max()) <= 1e-10 * float(expected.abs().max())


def test_the_gate_would_choose_book_keeping() -> None:
    made = method()
    parameters = shaken(made.network.init(0))
    step = Step(made, Layout.of(parameters), 0.0)

    def probe(units: int) -> dict[str, Tensor]:
        drawn = examples(units).items()
        return {n: v.float() if v.is_floating_point() else v for n, v in drawn}

    assert choose(step, parameters, probe, Speed(units=2)).engine == "keep"


def test_a_fresh_network_is_the_denoiser_of_a_standard_normal() -> None:
    network = method().network
    condition = Condition.of(torch.zeros(2, dtype=torch.int64), ROWS)
    x = torch.randn(2, ROWS * COLUMNS, generator=torch.Generator().manual_seed(0))
    diffusion = method().diffusion
    found = diffusion.denoised(network, network.init(0), x, torch.ones(2), condition)
    assert torch.allclose(found, x / 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"width": 12}, "multiple of 8"), ({"depth": 0}, "1 to 3 times"), ({"depth": 4}, "1 to 3 times")],
)
def test_sizes_that_do_not_fit_are_named(change: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ImageUNet(**{"labels": 2, "frames": ROWS, "channels": COLUMNS, "width": 8, "depth": 2, **change})
