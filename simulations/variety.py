"""Public motions made more various, so that a codec trained on them serves motions they do not hold."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from common.generator.handed import mirror
from common.motion.skeleton import JOINT_NAMES

_UPPER: Final = tuple(
    joint
    for joint, name in enumerate(JOINT_NAMES)
    if any(part in name for part in ("neck", "head", "collar", "shoulder", "elbow", "wrist"))
)
_SIZES: Final = (0.8, 1.15)
_TURN: Final = 0.02  # half a yaw step, rad per frame: 0.8 rad/s


def various(features: Tensor, random: torch.Generator) -> Tensor:
    """Features `[n, frames, 67]`, each motion changed at random.

    Half get the arms and the head of another motion, a quarter run backwards, half are mirrored,
    half walk along a curve; all are of another body size.
    """
    count = len(features)

    def some(share: float) -> Tensor:
        return (torch.rand(count, generator=random) < share)[:, None, None]

    mixed = torch.where(some(0.5), _with_arms(features, features.roll(1, dims=0)), features)
    turned = torch.where(some(0.25), _backwards(mixed), mixed)
    low, high = _SIZES
    size = torch.ones(count, 1, features.shape[2])
    size[..., 1:] = low + (high - low) * torch.rand(count, 1, 1, generator=random)
    sized = turned * size
    curve = _TURN * torch.randn(count, 2, 1, generator=random)
    time = torch.linspace(-1, 1, features.shape[1])
    rate = curve[:, 0] + curve[:, 1] * time
    sized[..., 0] += torch.where(some(0.5)[..., 0], rate, torch.zeros(()))
    return torch.where(some(0.5), mirror(sized), sized)


def _with_arms(features: Tensor, other: Tensor) -> Tensor:
    """`features` with arms and head of `other`, at the root height of their own."""
    out = features.clone()
    lift = features[..., 3] - other[..., 3]
    for joint in _UPPER:
        at = 4 + 3 * (joint - 1)
        out[..., at : at + 3] = other[..., at : at + 3]
        out[..., at + 1] += lift
    return out


def _backwards(features: Tensor) -> Tensor:
    out = features.flip(1).clone()
    out[..., :3] *= -1
    return out
