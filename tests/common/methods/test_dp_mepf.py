"""Moments of public features: the paper's vector, its sensitivity, and what is learnt of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import silu

from client.clipping.bound import clip_factors
from common.errors import InputError
from common.generator.assets import Assets
from common.generator.mean_embedding import MeanEmbedding
from common.methods import build
from tests.mean_embedding import SHIFT, SMALL, drawn_mean, made
from tests.small_site import CODEC


def test_features_are_activations_and_their_squares_in_units_of_the_public_prior() -> None:
    method = made("dp_mepf", units=8)
    arrays = method.parameters(method.init(0))
    x = torch.randn(20_000, CODEC.latent, generator=torch.Generator().manual_seed(4))
    h = silu(x @ arrays["layer"].T + arrays["bias"])
    plain = torch.cat([h, h.square()], dim=1)
    expected = (plain - arrays["mean"]) / arrays["deviation"] / 4
    labels = torch.zeros(len(x), dtype=torch.int64)
    found = method.features(arrays, x, labels)
    assert torch.allclose(found, expected, atol=1e-5)
    assert float(found.mean(dim=0).norm()) < 0.05
    assert float(found.square().sum(dim=1).mean()) == pytest.approx(1.0, abs=0.1)
    assert made("dp_mepf", units=8, moments="first").size == 8


def test_replacing_moves_second_moments_by_root_two_but_removing_by_the_clip() -> None:
    """Harder et al.'s sensitivity of phi_2 is broken by people whose features lie apart; ours is not."""
    b = 1.0
    one, other = torch.tensor([b, 0.0]), torch.tensor([0.0, b])
    assert float((one - other).norm()) == pytest.approx(math.sqrt(2) * b), "more than the published b"
    both = torch.stack([torch.cat([one, one]), torch.cat([other, other])]).double()  # two moments, joint
    clipped = both * clip_factors(both.norm(dim=1), b)[:, None]
    for leaving in range(2):
        assert float((clipped.sum(dim=0) - clipped[1 - leaving]).norm()) <= b


def test_features_of_the_public_denoiser_need_one() -> None:
    with pytest.raises(InputError, match=r"source = denoiser .* --pretrained"):
        made("dp_mepf", source="denoiser")
    plain = made("dp_mepf", units=8)
    base = {name: value + 0.3 for name, value in plain.start(0).items()}
    method = build("dp_mepf", {**SMALL, "units": 8, "source": "denoiser"}, Assets(CODEC, base))
    other = build("dp_mepf", {**SMALL, "units": 8, "source": "denoiser"}, Assets(CODEC, plain.start(0)))
    assert isinstance(method, MeanEmbedding) and isinstance(other, MeanEmbedding)
    arrays = method.parameters(method.init(0))
    x, labels = torch.randn(5, CODEC.latent), torch.tensor([0, 1, 2, 3, 0])
    found = [m.features(arrays, x, labels) for m in (method, other)]
    assert not torch.allclose(found[0], found[1]), "the public parameters do not enter"


@pytest.mark.parametrize("moments", ["both", "first"])
def test_the_generator_draws_an_action_where_people_perform_it(moments: str) -> None:
    means = drawn_mean(made("dp_mepf", units=64, moments=moments), noise=0.0005)
    assert float(means[0, 0]) == pytest.approx(SHIFT, abs=0.6)
    assert abs(float(means[1, 0])) < 0.4


def test_points_start_where_the_public_base_draws() -> None:
    plain = made("dp_mepf", units=8)
    base = plain.start(0)
    base["shift.weight"] = base["shift.weight"].clone()
    base["shift.weight"][1] = 2.0
    method = build("dp_mepf", {**SMALL, "units": 8}, Assets(CODEC, base))
    assert isinstance(method, MeanEmbedding)
    points = method.public_points(torch.tensor([0] * 150 + [1] * 150), 0)
    assert float(points[150:].mean() - points[:150].mean()) > 1
