"""Joint positions to the 67-d motion vector and back: root 4 + local positions 63.

The first 67 columns of the HumanML3D vector (Guo et al., CVPR 2022), one row a frame:

| slice | content |
|---|---|
| 0 | half the yaw step of the heading quaternion to the next frame, rad |
| 1:3 | root velocity x, z per frame, in the heading frame of the next frame, m |
| 3 | root height, m |
| 4:67 | positions of joints 1..21: root x, z removed, turned into the heading frame, m |
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from common.motion.skeleton import JOINTS, LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER

FEATURES: Final = 4 + 3 * (JOINTS - 1)
ROOT: Final = slice(0, 4)
LOCAL: Final = slice(4, FEATURES)

_SMOOTHING = 20.0  # standard deviation of the heading filter, frames


def to_features(joints: Tensor) -> Tensor:
    """`[n, T+1, 22, 3]` metres (Y up) to `[n, T, 67]` float32; each motion from itself alone."""
    joints = joints.to(torch.float32)
    if joints.ndim != 4 or joints.shape[2:] != (JOINTS, 3) or joints.shape[1] < 2:
        raise ValueError(f"expected joints [n, T+1, {JOINTS}, 3], got {tuple(joints.shape)}")
    yaw = heading(joints)
    step = _wrap(yaw[:, 1:] - yaw[:, :-1])
    root = joints[:, :, 0]
    velocity = turn(root[:, 1:] - root[:, :-1], -yaw[:, 1:])
    local = joints[:, :-1, 1:] - root[:, :-1, None] * torch.tensor([1.0, 0.0, 1.0])
    local = turn(local, -yaw[:, :-1, None])
    # q_t turns the world into the heading frame, so its yaw is minus the body's.
    parts = [-step[..., None] / 2, velocity[..., [0, 2]], root[:, :-1, 1:2], local.flatten(2)]
    return torch.cat(parts, dim=-1)


def from_features(features: Tensor) -> Tensor:
    """`[n, T, 67]` to joints `[n, T, 22, 3]` metres float32, starting at the origin and facing +Z.

    The inverse of `to_features` up to one rigid turn and shift of each motion.
    """
    if features.ndim != 3 or features.shape[2] != FEATURES:
        raise ValueError(f"expected features [n, T, {FEATURES}], got {tuple(features.shape)}")
    wide = features.to(torch.float64)
    yaw = torch.cumsum(-2 * wide[..., 0], dim=1)
    yaw = torch.cat([torch.zeros_like(yaw[:, :1]), yaw[:, :-1]], dim=1)
    steps = torch.stack([wide[..., 1], torch.zeros_like(yaw), wide[..., 2]], dim=-1)[:, :-1]
    path = torch.cumsum(turn(steps, yaw[:, 1:]), dim=1)
    ground = torch.cat([torch.zeros_like(steps[:, :1]), path], dim=1)
    local = turn(wide[..., LOCAL].unflatten(-1, (JOINTS - 1, 3)), yaw[..., None]) + ground[:, :, None]
    root = ground + torch.nn.functional.pad(wide[..., 3:4], (1, 1))
    return torch.cat([root[:, :, None], local], dim=2).to(torch.float32)


def heading(joints: Tensor) -> Tensor:
    """Yaw of the body `[n, T]`, rad from +Z towards +X, smoothed over time (sigma 20 frames).

    Across the body a = (right hip - left hip) + (right shoulder - left shoulder); forward = up x a.
    """
    across = joints[:, :, RIGHT_HIP] - joints[:, :, LEFT_HIP]
    across = across + joints[:, :, RIGHT_SHOULDER] - joints[:, :, LEFT_SHOULDER]
    forward = torch.stack([across[..., 2], -across[..., 0]], dim=-1)  # x and z
    forward = forward / forward.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    smooth = torch.einsum("st,ntc->nsc", _gaussian(joints.shape[1]), forward)
    return torch.atan2(smooth[..., 0], smooth[..., 1])


def turn(vectors: Tensor, yaw: Tensor) -> Tensor:
    """Turn `[..., 3]` by `yaw` `[...]` rad about the vertical; +Z goes to (sin yaw, 0, cos yaw)."""
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    x, y, z = vectors.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=-1)


def _wrap(angle: Tensor) -> Tensor:
    return torch.atan2(torch.sin(angle), torch.cos(angle))


@lru_cache(maxsize=16)
def _gaussian(frames: int) -> Tensor:
    """The smoothing filter over `frames` as a matrix; the edges repeat, the kernel ends at 4 sigma."""
    radius = int(4 * _SMOOTHING + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / _SMOOTHING) ** 2)
    target = (torch.arange(frames)[:, None] + offsets).clamp(0, frames - 1)
    matrix = torch.zeros(frames, frames)
    return matrix.scatter_add_(1, target, (weights / weights.sum()).expand(frames, -1).contiguous())
