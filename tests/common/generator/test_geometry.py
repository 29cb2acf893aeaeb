"""Velocity and foot contact, against the joints that the features decode to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.geometry import Geometry
from common.motion.features import FEATURES, from_features, to_features
from common.motion.population import PUBLIC
from tests.common.generator.sequences import frames_codec
from tests.common.people import crowd

FEET = (7, 8, 10, 11)


@pytest.fixture(scope="module")
def features() -> Tensor:
    return to_features(crowd(PUBLIC, 5, 6)[0])


@pytest.fixture(scope="module")
def geometry(features: Tensor) -> Geometry:
    return Geometry(features.mean(dim=(0, 1)), torch.full((FEATURES,), 0.12))


def latents(geometry: Geometry, features: Tensor) -> Tensor:
    return ((features - geometry.mean) / geometry.unit).flatten(1)


def test_feet_move_as_the_joints_do(geometry: Geometry, features: Tensor) -> None:
    joints = from_features(features)
    expected = joints[:, 1:, FEET].sub(joints[:, :-1, FEET]).norm(dim=-1)
    found = geometry.feet(latents(geometry, features).unflatten(1, (-1, FEATURES))).norm(dim=-1)
    assert expected.max() > 0.1
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_true_motion_costs_next_to_nothing_and_a_sliding_one_does(
    geometry: Geometry, features: Tensor
) -> None:
    true = latents(geometry, features)
    lengths = torch.full((len(true),), features.shape[1])
    slid = features.clone()
    slid[..., 2] += 0.05  # five centimetres a frame forward, feet and all
    none, slide = (geometry.loss(latents(geometry, part), true, lengths) for part in (features, slid))
    still = geometry.feet(true.unflatten(1, (-1, FEATURES))).norm(dim=-1) <= 0.01
    assert still.any(dim=-1).float().mean() > 0.2
    assert (none < 0.03).all(), "feet that stand move less than a centimetre"
    assert (slide > none + 0.01).all()


def test_velocity_is_the_error_of_differences(geometry: Geometry, features: Tensor) -> None:
    true = latents(geometry, features)
    lengths = torch.full((len(true),), features.shape[1])
    far = Geometry(geometry.mean, geometry.unit)
    shifted = true.unflatten(1, (-1, FEATURES)).clone()
    shifted[..., 3] += 1.0  # a constant height: no velocity, no slip
    assert torch.allclose(
        far.loss(shifted.flatten(1), true, lengths), far.loss(true, true, lengths), atol=1e-5
    )


def test_padding_does_not_count(geometry: Geometry, features: Tensor) -> None:
    true = latents(geometry, features)
    found = true + torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    lengths = torch.full((len(true),), 45)
    spoilt = found.unflatten(1, (-1, FEATURES)).clone()
    spoilt[:, 45:] = 7.0
    assert torch.equal(geometry.loss(found, true, lengths), geometry.loss(spoilt.flatten(1), true, lengths))
    spoilt[:, 44] = 7.0  # the control: the last frame that is motion
    assert not torch.equal(
        geometry.loss(found, true, lengths), geometry.loss(spoilt.flatten(1), true, lengths)
    )
    short = geometry.loss(found, true, torch.ones_like(lengths))
    assert torch.equal(short, torch.zeros_like(short))


def test_gradients_are_finite_where_feet_stand_still(geometry: Geometry, features: Tensor) -> None:
    frozen = latents(geometry, features[:, :1].expand(-1, 10, -1).contiguous())
    found = frozen.clone().requires_grad_()
    geometry.loss(found, frozen, torch.full((len(frozen),), 10)).sum().backward()
    assert found.grad is not None and found.grad.isfinite().all()


def test_other_codecs_are_refused() -> None:
    with pytest.raises(InputError, match="set geometric = 0"):
        Geometry.of(frames_codec(60, 67))
