"""The public things that a plan starts from: they travel once with the plan, and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from torch import Tensor

from common.generator.codec import Codec
from common.generator.codecs import load_codec

_CODEC: Final = "codec/"
_BASE: Final = "base/"


@dataclass(frozen=True, eq=False)
class Assets:
    """Nothing in here depends on anybody's data but the public's.

    `base` are parameters of the denoiser, pre-trained on public motions (empty: training starts
    from scratch), and the frozen factors of LoRA where it is used.
    """

    codec: Codec
    base: Mapping[str, Tensor] = field(default_factory=dict)

    def arrays(self) -> dict[str, Tensor]:
        """All tensors, by name."""
        arrays = {f"{_CODEC}{name}": tensor for name, tensor in self.codec.arrays().items()}
        return arrays | {f"{_BASE}{name}": tensor for name, tensor in self.base.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], codec: Mapping[str, Any]) -> Self:
        """The assets that `arrays()` and the codec's `description()` came from."""
        return cls(load_codec(under(_CODEC, arrays), codec), under(_BASE, arrays))


def under(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
