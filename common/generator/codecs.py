"""All codecs by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.identity_codec import IdentityCodec
from common.generator.motion_codec import MotionCodec
from common.generator.pca_codec import PcaCodec
from common.generator.sensor_codec import SensorCodec
from common.generator.vae_codec import VaeCodec

_CODECS: Final[Mapping[str, type[Codec]]] = {
    codec.kind: codec for codec in (MotionCodec, PcaCodec, IdentityCodec, VaeCodec, SensorCodec)
}


def load_codec(arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Codec:
    """The codec that `Codec.arrays()` and `Codec.description()` came from; InputError if unknown."""
    kind = str(description.get("kind"))
    if kind not in _CODECS:
        raise InputError(f"unknown codec {kind!r}: this version knows {', '.join(sorted(_CODECS))}")
    return _CODECS[kind].from_arrays(arrays, description)
