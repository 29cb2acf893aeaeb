"""Motion that one side of the body does: mirrored to the right, with the side as one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import torch
from torch import Tensor

from common.motion.features import FEATURES, LOCAL
from common.motion.skeleton import JOINT_NAMES

SIDE_WEIGHT: Final = 20.0
"""Weight of the side: large, so that it is a principal component of its own."""


class Transform(Protocol):
    """Features `[n, frames, 67]` to coefficients `[n, width]` and back; each row from itself alone."""

    kind: ClassVar[str]

    @property
    def width(self) -> int:
        """Numbers in the coefficients."""

    def forward(self, features: Tensor) -> Tensor: ...

    def inverse(self, coefficients: Tensor, generator: torch.Generator) -> Tensor: ...

    def restored(self, coefficients: Tensor, features: Tensor) -> Tensor:
        """The inverse at the phase of `features`."""

    def weights(self, channel: Tensor, timing: float) -> Tensor: ...

    def description(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Handed:
    """The coefficients of `inner` after the side: 1 for right, -1 for left."""

    kind: ClassVar[str] = "handed"

    inner: Transform

    @property
    def width(self) -> int:
        return 1 + self.inner.width

    def forward(self, features: Tensor) -> Tensor:
        side = torch.where(sidedness(features) < 0, -1.0, 1.0)
        return torch.cat([side[:, None], self.inner.forward(_to_right(features, side))], dim=1)

    def inverse(self, coefficients: Tensor, generator: torch.Generator) -> Tensor:
        return _to_right(self.inner.inverse(coefficients[:, 1:], generator), coefficients[:, 0])

    def restored(self, coefficients: Tensor, features: Tensor) -> Tensor:
        side = coefficients[:, 0]
        return _to_right(self.inner.restored(coefficients[:, 1:], _to_right(features, side)), side)

    def weights(self, channel: Tensor, timing: float) -> Tensor:
        return torch.cat([torch.tensor([SIDE_WEIGHT]), self.inner.weights(channel, timing)])

    def description(self) -> dict[str, Any]:
        return {"kind": self.kind, "inner": self.inner.description()}


def sidedness(features: Tensor) -> Tensor:
    """(right - left) / (right + left) of the movement of the limbs, `[n]` from -1 to 1."""
    energy = (features[:, 1:, LOCAL] - features[:, :-1, LOCAL]).square().mean(dim=1)
    joints: Tensor = energy.unflatten(1, (-1, 3)).sum(dim=2)
    right, left = joints[:, _RIGHT].sum(dim=1), joints[:, _LEFT].sum(dim=1)
    return (right - left) / (right + left + 1e-9)


def mirror(features: Tensor) -> Tensor:
    """Left and right exchanged, `[..., 67]`; twice is the identity."""
    return features[..., _SWAPPED] * _SIGNS


def _to_right(features: Tensor, side: Tensor) -> Tensor:
    return torch.where((side < 0)[:, None, None], mirror(features), features)


def _other(name: str) -> str:
    if name.startswith("left_"):
        return name.replace("left_", "right_", 1)
    return name.replace("right_", "left_", 1)


_BODY: Final = JOINT_NAMES[1:]
_LEFT: Final = [i for i, name in enumerate(_BODY) if name.startswith("left_")]
_RIGHT: Final = [i for i, name in enumerate(_BODY) if name.startswith("right_")]
_SWAPPED: Final = [
    *range(4),
    *(4 + 3 * _BODY.index(_other(name)) + axis for name in _BODY for axis in range(3)),
]
_SIGNS: Final = torch.ones(FEATURES)
_SIGNS[:2] = -1.0  # yaw and sideways velocity
_SIGNS[LOCAL][::3] = -1.0
