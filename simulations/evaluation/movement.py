"""What an eye notices in joint positions: sliding feet, stretching bones, jerks. No trained network.

Joints are `[n, frames, 22, 3]` in metres, Y up.
"""

from __future__ import annotations

from typing import Final

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from common.motion.skeleton import FRAME_RATE, PARENTS

_TOES: Final = (10, 11)
_LOW: Final = 0.02  # metres above where the toes of the motion stand
_SLIDING: Final = 0.3  # metres a second
_STANDS: Final = 0.02  # the quantile of toe heights that is taken for the floor


def skate_ratio(joints: Tensor, rate: float = FRAME_RATE) -> float:
    """Share of (frame, toe) that slides: below 2 cm in two consecutive frames, and faster than 0.3 m/s."""
    toes = joints[:, :, _TOES]
    height = toes[..., 1]
    floor = torch.quantile(height.flatten(1), _STANDS, dim=1)[:, None, None]
    low = height - floor < _LOW
    planar = (toes[:, 1:] - toes[:, :-1])[..., [0, 2]]
    fast = planar.norm(dim=-1) * rate > _SLIDING
    return float((low[:, 1:] & low[:, :-1] & fast).float().mean())


def bone_deviation(joints: Tensor) -> float:
    """Standard deviation over time of a bone's length over its mean, averaged over bones and motions."""
    lengths = (joints[:, :, 1:] - joints[:, :, PARENTS[1:]]).norm(dim=-1)
    return float((lengths.std(dim=1) / lengths.mean(dim=1)).mean())


def jerk(joints: Tensor, rate: float = FRAME_RATE) -> Tensor:
    """Mean norm of the third difference of each motion's joints, `[n]` in m/s^3."""
    third = torch.diff(joints.to(torch.float64), n=3, dim=1)
    mean: Tensor = third.norm(dim=-1).mean(dim=(1, 2))
    return mean * rate**3


def distance_of(real: Tensor, other: Tensor) -> float:
    """Wasserstein-1 distance between two samples `[n]` and `[m]`, in their unit."""
    return float(wasserstein_distance(real.numpy(), other.numpy()))


def spectral_distance(real: Tensor, other: Tensor) -> float:
    """How differently power is spread over frequencies, for signals `[n, frames, channels]`; 0 to 1.

    Area between the cumulative mean power spectra, weighted by the channels' share of real
    power: NPSS (Gopalakrishnan et al., 2019) without its pairing.
    """
    a, b = _power(real), _power(other)
    share = a.sum(dim=0) / a.sum()
    gap = (_cumulative(a) - _cumulative(b)).abs().mean(dim=0)
    return float((gap * share).sum())


def _power(signals: Tensor) -> Tensor:
    """Mean power `[frequencies, channels]` without the constant part."""
    amplitude: Tensor = torch.fft.rfft(signals.to(torch.float64), dim=1)[:, 1:].abs()
    return amplitude.square().mean(dim=0)


def _cumulative(power: Tensor) -> Tensor:
    return torch.cumsum(power, dim=0) / power.sum(dim=0).clamp_min(1e-12)
