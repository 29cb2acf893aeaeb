"""The codec that the settings of a simulation ask for."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Protocol

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.codec_file import read_codec
from common.generator.codecs import PublicMotions, fit_codec
from common.generator.vae_codec import VaeCodec
from common.motion.recording import Modality

PUBLIC_SEED = 1_000_003
"""Added to a seed for the public population: apart from any private population's."""


_USUAL: Final = {"skeleton": "structured", "sensor": "sensor", "image": "image"}


class Choice(Protocol):
    """The settings of a codec, in a simulation and in a pre-training alike."""

    @property
    def codec(self) -> str | None: ...
    @property
    def codec_file(self) -> Path | None: ...
    @property
    def latent(self) -> int: ...


def make_codec(
    config: Choice, modality: Modality, labels: tuple[str, ...], motions: PublicMotions | None
) -> Codec:
    """`config.codec`, fitted on public `motions`, or read where it is a VAE."""
    kind = config.codec or _USUAL[modality.kind]
    if kind == VaeCodec.kind:
        return replace(read_vae(config.codec_file), modality=modality, labels=labels)
    if motions is not None and kind != "identity" and len(motions.windows) <= config.latent:
        raise InputError(
            f"the public corpus has {len(motions.windows)} windows, too few for a codec of {config.latent}"
        )
    return fit_codec(kind, motions, modality, labels, config.latent)


def public_origin(folder: Path | None, seed: int, people: int, motions: int) -> str:
    """What the public motions are, in words: those of `folder`, or procedural ones."""
    if folder is not None:
        return f"motions of the folder {folder.name}"
    return procedural_origin("public", seed + PUBLIC_SEED, people, motions)


def procedural_origin(population: str, seed: int, people: int, motions: int) -> str:
    return f"procedural people, population {population}, seed {seed}, {people} people x {motions} motions"


def packaged() -> Path:
    """The weights that come with the package; `python -m simulations.train_vae` makes them again."""
    with as_file(files("simulations") / "weights" / "vae.safetensors") as path:
        return path


def read_vae(path: Path | None = None) -> VaeCodec:
    """The codec in `path`, by default the packaged one; InputError where it is no VAE."""
    codec = read_codec(path or packaged())
    if not isinstance(codec, VaeCodec):
        raise InputError(f"{path} holds a codec of kind {codec.kind}: give one of kind vae")
    return codec
