"""The 67-d vector: it holds what the format says, and nothing is lost but place and direction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.motion.features import FEATURES, from_features, heading, to_features, turn
from common.motion.population import PRIVATE
from tests.common.people import crowd


@pytest.fixture(scope="module")
def joints() -> Tensor:
    """Motions that start anywhere, face anywhere and turn while they last."""
    windows, _ = crowd(PRIVATE, 5, 30)
    random = torch.Generator().manual_seed(0)
    first = torch.rand(len(windows), 1, generator=random) * 6
    yaw = first + torch.linspace(0, 2.5, windows.shape[1]) * torch.randn(len(windows), 1, generator=random)
    shift = torch.randn(len(windows), 1, 1, 3, generator=random) * torch.tensor([2.0, 0.0, 2.0])
    return turn(windows, yaw[..., None]) + shift


def test_round_trip_is_exact_up_to_one_turn_and_shift(joints: Tensor) -> None:
    back = from_features(to_features(joints))
    start = joints[:, :1, :1] * torch.tensor([1.0, 0.0, 1.0])
    expected = turn(joints - start, -heading(joints)[:, :1, None])[:, :-1]
    assert back.dtype == torch.float32
    assert (back - expected).abs().max() < 1e-5


def test_motions_start_at_the_origin_facing_forward(joints: Tensor) -> None:
    back = from_features(to_features(joints))
    assert back[:, 0, 0, [0, 2]].abs().max() < 1e-6
    across = back[:, 0, 2] - back[:, 0, 1] + back[:, 0, 17] - back[:, 0, 16]
    assert (across[:, 0] < 0).all()  # the right side lies towards -X of one that faces +Z


def test_features_ignore_place_and_direction(joints: Tensor) -> None:
    moved = turn(joints, torch.tensor(1.2)) + torch.tensor([3.0, 0.0, -2.0])
    # A fast runner gets 10 m away, where float32 steps by 1e-6 m, and velocities are twenty times that.
    assert (to_features(joints) - to_features(moved)).abs().max() < 5e-5


def test_walking_straight_is_velocity_along_z(joints: Tensor) -> None:
    still = joints[:1, :1].expand(1, 61, 22, 3)
    ahead = turn(torch.tensor([0.0, 0.0, 0.07]), heading(still[:, :1])[0, 0])
    features = to_features(still + ahead * torch.arange(61)[:, None, None])
    assert features.shape == (1, 60, FEATURES)
    assert torch.allclose(features[..., 2], torch.tensor(0.07), atol=1e-5)
    assert features[..., :2].abs().max() < 1e-5


def test_yaw_slot_is_half_the_step(joints: Tensor) -> None:
    step = 0.03
    turning = turn(joints[:1, :1].expand(1, 61, 22, 3), step * torch.arange(61.0)[None, :, None])
    middle = to_features(turning)[0, 30, 0]  # smoothing holds the ends back, not the middle
    assert abs(float(middle)) == pytest.approx(step / 2, rel=0.35)
    total = 2 * to_features(turning)[0, :, 0].sum().abs()
    back = from_features(to_features(turning))
    difference = heading(back)[0, -1] - heading(back)[0, 0]
    assert float(difference.abs()) <= float(total) + 0.1


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected joints"):
        to_features(torch.zeros(2, 61, 21, 3))
    with pytest.raises(ValueError, match="expected features"):
        from_features(torch.zeros(2, 60, 66))
