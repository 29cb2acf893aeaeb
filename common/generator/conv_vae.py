"""A small convolutional autoencoder of motion: four frames become one latent frame.

No normalisation over time or batch, so that a frame's code depends on its neighbourhood and on
nothing else: windows of any length share the weights.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

STRIDE: Final = 4
"""Frames in one latent frame."""


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(silu(self.first(silu(x))))
        return out


class ConvVae(nn.Module):
    """Frames `[n, frames, features]` to means and log variances `[n, frames / 4, channels]` and back."""

    def __init__(self, features: int, width: int, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(features, width, 3, padding=1),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            Residual(width),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            Residual(width),
            nn.SiLU(),
            nn.Conv1d(width, 2 * channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(channels, width, 3, padding=1),
            Residual(width),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(width, width, 3, padding=1),
            Residual(width),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv1d(width, features, 3, padding=1),
        )

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(held(frames).mT).mT.chunk(2, dim=-1)
        return mean, log_variance.clamp(-20, 4)

    def decode(self, latents: Tensor) -> Tensor:
        """`[n, k, channels]` to `[n, 4 k, features]`."""
        frames: Tensor = self.decoder(latents.mT).mT
        return frames


def held(frames: Tensor) -> Tensor:
    """`frames` with the last one held up to a multiple of four."""
    missing = -frames.shape[1] % STRIDE
    return torch.cat([frames, frames[:, -1:].expand(-1, missing, -1)], dim=1) if missing else frames
