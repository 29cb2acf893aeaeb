"""Windows as frames of order one: what identity, PCA and VAE codecs work on.

A skeleton's frames are the 67 features over one unit for each block (yaw step, ground velocity,
root height, local positions), as HumanML3D averages its deviations; a sensor's are its channels, an image's
its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor

from common.generator.bounds import positive, tensor
from common.generator.sensor_codec import physical_units
from common.motion.features import FEATURES, LOCAL, from_features, to_features
from common.motion.image import BRIGHTNESS, CONTRAST
from common.motion.recording import Modality
from common.motion.skeleton import JOINTS, PARENTS, REFERENCE_BONES, REST_DIRECTIONS

_BLOCKS: Final = (slice(0, 1), slice(1, 3), slice(3, 4), LOCAL)
_LEAST: Final = (0.0125, 0.025, 0.2, 0.2)
"""Half a yaw step (0.5 rad/s), ground velocity (0.5 m/s), height and local positions (m).

Least units: a public corpus that never turns or lies down must not make a private turn leave
the bound of the latents."""
_UNITS: Final = (0.02, 0.05, 0.2, 0.35)
"""The same without a public corpus, around somebody who stands: six of them hold a run and a jump."""
_LEAST_SENSED: Final = 0.1  # of a sensor's physical unit
_LEAST_CONTRAST: Final = 0.05
_REACH: Final = 10.0  # decoded frames are cut at this many units


@dataclass(frozen=True, eq=False)
class Scale:
    """frames = (values - mean) / unit; `mean` and `unit` are `[channels]`."""

    mean: Tensor
    unit: Tensor

    @classmethod
    def fixed(cls, modality: Modality) -> Self:
        """Public constants: somebody who stands, everyday movement, brightness; nothing is fitted."""
        if modality.kind == "image":
            columns = len(modality.channels)
            return cls(torch.full((columns,), BRIGHTNESS), torch.full((columns,), CONTRAST))
        if modality.kind == "sensor":
            return cls(torch.zeros(len(modality.channels)), physical_units(modality))
        return cls(_standing(), _each(_UNITS))

    @classmethod
    def fit(cls, modality: Modality, windows: Tensor) -> Self:
        """Means of PUBLIC `windows` and the deviation of each block, of a sensor each channel."""
        values = _values(modality, windows).flatten(0, 1)
        mean = values.mean(dim=0)
        spread = (values - mean).square().mean(dim=0)
        if modality.kind == "image":  # one unit for all pixels: those at the edge may never be lit in public
            return cls(mean, torch.full_like(mean, float(spread.mean().sqrt().clamp_min(_LEAST_CONTRAST))))
        if modality.kind == "sensor":
            return cls(mean, torch.maximum(spread.sqrt(), _LEAST_SENSED * physical_units(modality)))
        for block in _BLOCKS:
            spread[block] = spread[block].mean()
        return cls(mean, torch.maximum(spread.sqrt(), _each(_LEAST)))

    @property
    def channels(self) -> int:
        return len(self.mean)

    def forward(self, modality: Modality, windows: Tensor) -> Tensor:
        """Windows of `modality` to frames `[n, window, channels]`, each from itself alone."""
        return (_values(modality, windows) - self.mean) / self.unit

    def inverse(self, modality: Modality, frames: Tensor) -> Tensor:
        """Frames `[n, window, channels]` to joints `[n, window, 22, 3]`, sensor windows or images."""
        values = frames.clamp(-_REACH, _REACH) * self.unit + self.mean
        if modality.kind == "image":
            return values.clamp(0.0, 1.0)
        return from_features(values) if modality.kind == "skeleton" else values

    def arrays(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "unit": self.unit}

    @classmethod
    def from_arrays(cls, modality: Modality, arrays: Mapping[str, Tensor]) -> Self:
        count = FEATURES if modality.kind == "skeleton" else len(modality.channels)
        return cls(tensor(arrays, "mean", count), positive(tensor(arrays, "unit", count), "unit"))


def _values(modality: Modality, windows: Tensor) -> Tensor:
    skeleton = modality.kind == "skeleton"
    expected = (modality.window + 1, JOINTS, 3) if skeleton else (modality.window, len(modality.channels))
    if tuple(windows.shape[1:]) != expected:
        raise ValueError(f"expected windows [n, *{expected}], got {tuple(windows.shape)}")
    return to_features(windows) if skeleton else windows.to(torch.float32)


def _each(sizes: Sequence[float]) -> Tensor:
    """One size for each block as `[67]`."""
    unit = torch.ones(FEATURES)
    for block, size in zip(_BLOCKS, sizes, strict=True):
        unit[block] = size
    return unit


def _standing() -> Tensor:
    """Features of the reference skeleton at rest on the floor, `[67]`."""
    joints = torch.zeros(JOINTS, 3)
    offsets = torch.tensor(REST_DIRECTIONS * REFERENCE_BONES[:, None], dtype=torch.float32)
    for joint, parent in enumerate(PARENTS[1:], start=1):
        joints[joint] = joints[parent] + offsets[joint]
    joints[:, 1] -= joints[:, 1].amin()
    return to_features(joints.expand(1, 2, -1, -1))[0, 0]
