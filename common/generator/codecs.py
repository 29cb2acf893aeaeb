"""All codecs by kind: one is built from a description, or fitted on public motions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from common.errors import FedmotionError, InputError
from common.generator.bounds import MOST_LATENT
from common.generator.codec import Codec
from common.generator.corpus import digest
from common.generator.identity_codec import IdentityCodec
from common.generator.image_codec import ImageCodec
from common.generator.motion_codec import MotionCodec, fit_motion_codec
from common.generator.pca_codec import PcaCodec, fit_pca
from common.generator.scale import Scale
from common.generator.sensor_codec import SensorCodec
from common.generator.vae_codec import VaeCodec
from common.motion.recording import Modality

_CODECS: Final[Mapping[str, type[Codec]]] = {
    codec.kind: codec for codec in (MotionCodec, PcaCodec, IdentityCodec, VaeCodec, SensorCodec, ImageCodec)
}
_MISFITS: Final = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class PublicMotions:
    """Windows `[n, ...]`, labels `[n]` (indices into `names`, `len(names)` for none) and what they are."""

    windows: Tensor
    labels: Tensor
    names: tuple[str, ...]
    origin: str

    @property
    def sha256(self) -> str:
        return digest(self.windows, self.labels, self.names)


def load_codec(arrays: Mapping[str, Tensor], description: Mapping[str, Any]) -> Codec:
    """The codec that `Codec.arrays()` and `Codec.description()` came from.

    InputError for an unknown kind and for whatever else does not build: both come from a server.
    """
    kind = str(description.get("kind"))
    if kind not in _CODECS:
        raise InputError(f"unknown codec {kind!r:.40}: this version knows {', '.join(sorted(_CODECS))}")
    try:
        codec = _CODECS[kind].from_arrays(arrays, description)
        if not 1 <= codec.latent <= MOST_LATENT:
            raise InputError(f"a latent of {codec.latent} numbers: it must be 1 to {MOST_LATENT}")
    except FedmotionError:
        raise
    except _MISFITS as error:
        raise InputError(f"the description of a {kind} codec does not build: {error!r:.200}") from None
    return codec


def fit_codec(
    kind: str, public: PublicMotions | None, modality: Modality, labels: Sequence[str], latent: int
) -> Codec:
    """A codec of `kind` for motions of `modality` labelled `labels`, fitted on `public` or on nothing.

    `latent` is for structured and pca. InputError where kind, modality and corpus do not fit
    together; a VAE is trained beforehand (`simulations.train_vae`).
    """
    names = tuple(labels)
    if kind == SensorCodec.kind and modality.kind == "sensor":
        return SensorCodec(modality, names)
    if kind == ImageCodec.kind and modality.kind == "image":
        return ImageCodec(modality, names)
    if kind == IdentityCodec.kind:
        return _identity(public, modality, names)
    fits = kind == PcaCodec.kind or (kind == MotionCodec.kind and modality.kind == "skeleton")
    if not fits:
        raise InputError(f"codec {kind} is not for {modality.kind} data: choose {_for(modality)}")
    if public is None:
        raise InputError(
            f"codec {kind} is fitted on public data: give some with --public, or choose identity"
        )
    if kind == PcaCodec.kind:
        return fit_pca(public.windows, modality, names, latent, sha256=public.sha256, origin=public.origin)
    return fit_motion_codec(
        public.windows, public.labels, names, latent, modality=modality, origin=public.origin
    )


def _identity(public: PublicMotions | None, modality: Modality, names: tuple[str, ...]) -> IdentityCodec:
    codec = IdentityCodec(names, modality, Scale.fixed(modality))
    if public is not None:
        scale = Scale.fit(modality, public.windows)
        codec = IdentityCodec(names, modality, scale, public.sha256, public.origin)
    if codec.latent > MOST_LATENT:
        raise InputError(
            f"codec identity would give latents of {codec.latent} numbers, more than {MOST_LATENT}:"
            " choose another codec, or a shorter window"
        )
    return codec


def _for(modality: Modality) -> str:
    return {
        "skeleton": "structured, pca, identity or vae",
        "sensor": "sensor, pca or identity",
        "image": "image, pca or identity",
    }[modality.kind]
