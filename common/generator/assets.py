"""The public things that a plan starts from: they travel once with the plan, and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from torch import Tensor

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.codecs import load_codec
from common.generator.text import TextEncoder
from common.generator.text_encoders import load_text

_CODEC: Final = "codec/"
_BASE: Final = "base/"
_TEXT: Final = "text/"


@dataclass(frozen=True, eq=False)
class Assets:
    """Nothing in here depends on anybody's data but the public's.

    `base` are parameters of the denoiser, pre-trained on public motions (empty: training starts
    from scratch), and the frozen factors of LoRA where it is used. `text` turns sentences into
    conditions (None: the generator knows no text).
    """

    codec: Codec
    base: Mapping[str, Tensor] = field(default_factory=dict)
    text: TextEncoder | None = None

    @property
    def text_size(self) -> int:
        """Length of a text condition, 0 for none."""
        return 0 if self.text is None else self.text.size

    def arrays(self) -> dict[str, Tensor]:
        """All tensors, by name."""
        arrays = {f"{_CODEC}{name}": tensor for name, tensor in self.codec.arrays().items()}
        if self.text is not None:
            arrays |= {f"{_TEXT}{name}": tensor for name, tensor in self.text.arrays().items()}
        return arrays | {f"{_BASE}{name}": tensor for name, tensor in self.base.items()}

    def text_description(self) -> dict[str, Any]:
        """The text encoder's description, as a plan holds it; empty for none."""
        return {} if self.text is None else self.text.description()

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Tensor], codec: Mapping[str, Any], text: Mapping[str, Any]
    ) -> Self:
        """The assets that `arrays()`, the codec's `description()` and `text_description()` came from.

        InputError for an array that is no part of them: a site would keep it in its ledger.
        """
        loaded = load_codec(under(_CODEC, arrays), codec)
        encoder = load_text(under(_TEXT, arrays), text, loaded.labels)
        found = cls(loaded, under(_BASE, arrays), encoder)
        if unknown := sorted(arrays.keys() - found.arrays().keys()):
            raise InputError(f"the array {unknown[0]!r:.80} is no part of the codec, the text or the base")
        return found


def under(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
