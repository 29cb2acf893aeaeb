"""What codecs lose: mean error of the joints in mm after encoding and decoding, for each action."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from client.datasets import DataOptions, open_data_set
from common.errors import InputError
from common.generator.codec import Codec
from common.generator.codecs import PublicMotions, fit_codec
from common.generator.motion_codec import MotionCodec
from common.motion.features import from_features, to_features
from common.motion.population import ACTIONS, PRIVATE_ALL, PUBLIC_ALL, Population, synthesise
from common.motion.recording import SKELETON
from simulations.codec import PUBLIC_SEED, read_vae
from simulations.corpus import corpus

_LATENTS = (16, 32, 64, 128)
_PUBLIC_PEOPLE, _PRIVATE_PEOPLE, _MOTIONS = 500, 200, 4
_PRIVATE_SEED = 7


@dataclass(frozen=True, eq=False)
class Motions:
    """Windows and labels of one set of people; an index of `len(names)` is no label."""

    windows: Tensor
    labels: Tensor
    names: tuple[str, ...]


def table(recordings: Path | None = None) -> Table:
    """Procedural people whom no codec has seen; with a folder of recordings, those as well.

    The codecs are fitted on procedural public people; for recordings, once more on the
    recordings of the other half of the people, which then are the public ones.
    """
    public, private = (
        _procedural(PUBLIC_ALL, PUBLIC_SEED, _PUBLIC_PEOPLE),
        _procedural(PRIVATE_ALL, _PRIVATE_SEED),
    )
    shown = Table(title="mean joint error, mm: in the world / about the root")
    for column in ("people", "public", "codec", "numbers", "all", *ACTIONS):
        shown.add_column(column, justify="left" if column in ("people", "public", "codec") else "right")
    for name, codec in codecs(public):
        shown.add_row("procedural", "procedural", name, str(codec.latent), *_cells(codec, private, ACTIONS))
    if recordings is not None:
        first, second = _halves(recordings)
        names = second.names[: len(ACTIONS)]
        shown.add_section()
        shown.add_row("recorded", "", "", "", "all", *names)
        for origin, motions in (("procedural", public), ("recorded, others", first)):
            for name, codec in codecs(motions):
                shown.add_row("recorded", origin, name, str(codec.latent), *_cells(codec, second, names))
    return shown


def codecs(public: Motions) -> Iterator[tuple[str, Codec]]:
    """Every codec fitted on `public` at every size that it allows; the VAE as it comes."""
    motions = PublicMotions(public.windows, public.labels, public.names, "")
    yield "identity", fit_codec("identity", motions, SKELETON, public.names, 0)
    for kind in ("structured", "pca"):
        for latent in _LATENTS:
            try:
                yield kind, fit_codec(kind, motions, SKELETON, public.names, latent)
            except InputError:  # too few public motions for so many numbers
                continue
    if public.names == ACTIONS:
        yield "vae", replace(read_vae(), labels=public.names)


def errors(codec: Codec, windows: Tensor, labels: Tensor) -> Tensor:
    """Mean distance of joints in mm, in the world and about the root at their own heading: `[n, 2]`.

    A cycle is compared at the phase that it had.
    """
    real = from_features(to_features(windows))
    if isinstance(codec, MotionCodec):
        back = codec.reconstruct(windows, labels)
    else:
        back = codec.decode(codec.encode(windows, labels), labels, torch.Generator())
    world = (real - back).norm(dim=-1).mean(dim=(1, 2))
    pose = [to_features(torch.cat([joints, joints[:, -1:]], dim=1))[..., 3:] for joints in (real, back)]
    local = (pose[0] - pose[1])[..., 1:].unflatten(-1, (-1, 3)).norm(dim=-1).mean(dim=(1, 2))
    return 1000 * torch.stack([world, local], dim=1)


def _cells(codec: Codec, motions: Motions, names: Sequence[str]) -> list[str]:
    labels = torch.full_like(motions.labels, len(codec.labels))
    for index, name in enumerate(motions.names):
        if name in codec.labels:
            labels[motions.labels == index] = codec.labels.index(name)
    found = errors(codec, motions.windows, labels)
    parts = [found, *(found[motions.labels == motions.names.index(name)] for name in names)]
    return [f"{part[:, 0].mean():.0f} / {part[:, 1].mean():.0f}" if len(part) else "-" for part in parts]


def _procedural(population: Population, seed: int, people: int = _PRIVATE_PEOPLE) -> Motions:
    made = corpus(synthesise(population, seed, range(people), motions=_MOTIONS), SKELETON, ACTIONS)
    return Motions(made.windows, made.labels, ACTIONS)


def _halves(folder: Path) -> tuple[Motions, Motions]:
    """The recordings of every other person, and of the rest."""
    data = open_data_set(folder, DataOptions(skip_bad=True))
    people = data.people()
    if data.modality != SKELETON or len(people) < 2:
        raise InputError(f"{folder}: give a folder with the skeleton motion of at least two people")
    parts = [corpus(data.recordings(half), SKELETON, data.labels) for half in (people[::2], people[1::2])]
    first, second = (Motions(part.windows, part.labels, data.labels) for part in parts)
    return first, second
