"""Optional losses on how frames follow one another (MDM: Tevet et al. 2023, equations 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.denoisers.denoiser import valid
from common.motion.features import FEATURES, LOCAL, turn

_FEET: Final = (7, 8, 10, 11)
_STILL: Final = 0.01
"""A foot that moves less than this, m a frame, stands on the floor."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """For latents that are frames of the 67 features: values = mean + unit * latent, each `[67]`."""

    mean: Tensor
    unit: Tensor

    @classmethod
    def of(cls, codec: Codec) -> Self:
        """Of a codec whose latent frames are features; InputError for another."""
        if codec.feature_units is None:
            raise InputError(
                "geometric is for codecs whose latents are frames of features: set geometric = 0"
            )
        return cls(*codec.feature_units)

    def loss(self, found: Tensor, true: Tensor, lengths: Tensor) -> Tensor:
        """Velocity and foot contact of latents `[..., latent]` of `lengths` `[...]` frames: `[...]`.

        The mean square error of differences of frames, and that of the feet's speed where the true
        foot stands still, in the codec's units; each a mean over the pairs of frames that are motion.
        """
        frames = found.shape[-1] // FEATURES
        found, true = (part.unflatten(-1, (frames, FEATURES)) for part in (found, true))
        velocity = (found.diff(dim=-2) - true.diff(dim=-2)).square().mean(dim=-1)
        still = self.feet(true).norm(dim=-1) <= _STILL
        slip = self.feet(found) / self.unit[LOCAL].mean().to(found.device)
        contact = torch.where(still, slip.square().sum(dim=-1), 0.0).mean(dim=-1)
        pairs = valid(lengths - 1, frames - 1)
        total = torch.where(pairs, velocity + contact, 0.0).sum(dim=-1)
        return total / (lengths - 1).clamp_min(1)

    def feet(self, frames: Tensor) -> Tensor:
        """World velocity of ankles and toes, `[..., frames - 1, 4, 3]` m a frame, in the later heading.

        Of latent frames `[..., frames, 67]`.
        """
        values = frames * self.unit.to(frames) + self.mean.to(frames)
        places = [LOCAL.start + 3 * (joint - 1) + axis for joint in _FEET for axis in range(3)]
        local = values[..., places].unflatten(-1, (len(_FEET), 3))
        earlier = values[..., :-1, :]
        ahead, aside = earlier[..., 2], earlier[..., 1]
        ground = torch.stack([aside, torch.zeros_like(ahead), ahead], dim=-1)
        turned = turn(local[..., :-1, :, :], 2 * earlier[..., 0:1])
        moved: Tensor = local[..., 1:, :, :] - turned + ground[..., None, :]
        return moved
