"""All denoisers by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.errors import InputError
from common.generator.denoisers.denoiser import Denoiser
from common.generator.denoisers.image_unet import ImageUNet
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.transformer import Transformer
from common.generator.denoisers.unet import UNet

KINDS: Final[Mapping[str, type[Denoiser]]] = {
    part.kind: part for part in (ResidualMLP, UNet, Transformer, ImageUNet)
}


def from_description(description: Mapping[str, Any]) -> Denoiser:
    """The denoiser that `Denoiser.description()` came from; InputError if there is none such."""
    kind = str(description.get("kind"))
    if kind not in KINDS:
        raise InputError(f"unknown denoiser {kind!r}: this version knows {', '.join(KINDS)}")
    return KINDS[kind].from_description(description)
