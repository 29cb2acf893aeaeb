"""How good each family of generators is without privacy, beside public motions alone and other people.

The families share data, steps of the optimiser are theirs: what two CPU cores can train in some minutes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.table import Table

from client.datasets import DataSet
from common.errors import InputError
from common.generator.assets import Assets
from common.generator.codecs import PublicMotions
from common.generator.generator import Generator
from common.methods import build
from common.methods.dp_sgd import DPSGD
from simulations.codec import make_codec
from simulations.config import Simulation
from simulations.corpus import Corpus, corpus
from simulations.evaluation.quality import Reference, Yardstick, some
from simulations.partition import held_out, trained
from simulations.prepare import open_people
from simulations.public_corpus import public_corpus
from simulations.public_training import Latents, Progress, step

_FIGURES: Final = ("frechet", "accuracy", "spectral", "skate", "bones", "jerk")
_SEED: Final = 0
_PASSES: Final = 4
_SPLITS: Final = 8
_DRAWN: Final = 64
_MOST: Final = 800  # windows a side


@dataclass(frozen=True)
class Family:
    """A codec, a denoiser, and how long it is trained (`common.generator.design`)."""

    name: str
    codec: str
    options: Mapping[str, int | float | str]
    steps: int
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    ema: float = 0.995
    seed: int = _SEED


_FRAMES: Final[dict[str, int | float | str]] = {
    "parameterisation": "edm",
    "label_dropout": 0.1,
    "replicas": 1,
}
_MDM: Final[dict[str, int | float | str]] = {
    "denoiser": "transformer",
    "width": 128,
    "depth": 4,
    "heads": 4,
    **_FRAMES,
}
SKELETON: Final = (
    Family("structured codec, MLP 1 x 32 (the demo's)", "structured", {"replicas": 4}, 2000, 256, 5e-3),
    Family("structured codec, MLP 2 x 128", "structured", {"width": 128, "depth": 2}, 2000),
    Family("PCA 32, MLP 2 x 256", "pca", {"width": 256, "depth": 2}, 2000),
    Family("VAE, U-Net 64", "vae", {"denoiser": "unet", "width": 64, "depth": 1, **_FRAMES}, 1500),
    Family("frames, U-Net 64", "identity", {"denoiser": "unet", "width": 64, "depth": 2, **_FRAMES}, 600),
    Family("frames, transformer 4 x 128 (MDM)", "identity", _MDM, 600, 64, 1e-3),
)
SENSOR: Final = (
    Family("DCT, MLP 1 x 32 (the default)", "sensor", {"replicas": 4}, 2000, 256, 5e-3),
    Family("DCT, MLP 2 x 128", "sensor", {"width": 128, "depth": 2}, 2000),
    Family("PCA 32, MLP 2 x 128", "pca", {"width": 128, "depth": 2}, 2000),
    Family("frames, U-Net 64", "identity", {"denoiser": "unet", "width": 64, "depth": 2, **_FRAMES}, 600),
)


@dataclass(frozen=True, eq=False)
class _Set:
    """People of one kind, split by person, and public motions beside them."""

    config: Simulation
    data: DataSet
    public: Corpus
    reference: Reference
    yardstick: Yardstick
    count: int = field(default=0)


def table(recordings: Path | None = None) -> Table:
    """Procedural people with all actions; with a folder of recordings, the people in it instead."""
    people = _opened(recordings)
    families = SKELETON if people.data.modality.kind == "skeleton" else SENSOR
    shown = Table(title=f"{people.data.origin}: {people.count} windows a side, not private")
    for column in ("generator", "trained on", "parameters", "minutes", "motions/s", *_FIGURES):
        shown.add_column(column, justify="left" if column in ("generator", "trained on") else "right")
    for family in families:
        for name, source in (("people", people.reference.trained), ("public only", people.public)):
            began = time.process_time()
            generator, size = _trained(family, people, source)
            spent = (time.process_time() - began) / 60
            began = time.process_time()
            generator.sample(_DRAWN, seed=2)
            speed = _DRAWN / (time.process_time() - began)
            row = people.yardstick.generated(generator, people.count)
            shown.add_row(family.name, name, f"{size:,}", f"{spent:.1f}", f"{speed:.0f}", *_cells(row))
    as_they_are = people.yardstick.measure(some(people.public, people.count))
    shown.add_row("public motions as they are", "", "", "", "", *_cells(as_they_are))
    floor = people.yardstick.floor(people.reference.trained)
    shown.add_row("floor: other real people", "", "", "", "", *_cells(floor))
    return shown


def _opened(folder: Path | None) -> _Set:
    if folder is None:
        config = Simulation(people=1000, actions="all", holdout=0.5, public_people=600, seed=_SEED)
    else:
        config = Simulation(data=folder, holdout=0.5, skip_bad=True, public_people=600, seed=_SEED)
    data = open_people(config)
    public = public_corpus(config, data)
    if public is None:
        raise InputError(f"{folder}: no public motions stand beside these")
    parts = max((_split(config, data, seed) for seed in range(_SPLITS if folder else 1)), key=_smaller)
    count = min(_MOST, _smaller(parts))
    reference = Reference(held_out=parts[0], trained=parts[1]).cut(count)
    yardstick = Yardstick.of(reference, public, data.modality, data.labels)
    return _Set(config, data, public, reference, yardstick, count)


def _split(config: Simulation, data: DataSet, seed: int) -> list[Corpus]:
    """People held out and people in training, by hash; a few people fall evenly under few seeds only."""
    dealt = config.model_copy(update={"seed": seed})
    return [
        corpus(data.recordings(share.select(data)), data.modality, data.labels)
        for share in (held_out(dealt), trained(dealt))
    ]


def _smaller(parts: Sequence[Corpus]) -> int:
    return min(len(part.windows) for part in parts)


def _trained(family: Family, people: _Set, source: Corpus) -> tuple[Generator, int]:
    """`family` trained on `source` without privacy; its codec is fitted on public motions in any case."""
    data, public = people.data, people.public
    motions = PublicMotions(public.windows, public.labels, data.labels, "")
    config = people.config.model_copy(update={"codec": family.codec})
    assets = Assets(make_codec(config, data.modality, data.labels, motions))
    method = build("dp_sgd", family.options, assets)
    assert isinstance(method, DPSGD)
    latents = Latents.encoded(assets.codec, source)
    start = method.parameters(method.init(_SEED))
    progress = Progress.start(start, "cpu")
    # More passes over few windows would only learn them by heart.
    for _ in range(min(family.steps, _PASSES * people.count)):
        progress, _ = step(method, latents, progress, family, "cpu")
    size = sum(value.numel() for value in start.values())
    done = build("dp_sgd", family.options, Assets(assets.codec, progress.averaged()))
    return done.generator(done.init(_SEED)), size


def _cells(row: Mapping[str, float | None]) -> list[str]:
    return ["" if row.get(name) is None else f"{row[name]:.4g}" for name in _FIGURES]
