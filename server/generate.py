"""Motions from a run's checkpoint: drawn, given constant bone lengths, written, and shown on a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.generator.generator import Generator
from common.motion.export import FORMATS, write_motions
from common.motion.kinematics import project_bones
from common.motion.recording import Modality
from common.storage import writing
from server.checkpoint import Checkpoint
from server.pages import Clip, Window, player_page, sensor_page

PAGE: Final = "index.html"
PAGE_MOTIONS: Final = 24


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated motions: `motions[i]` is `[frames, 22, 3]` metres or `[frames, channels]`; float32."""

    modality: Modality
    motions: Sequence[NDArray[np.float32]]
    labels: Sequence[str]

    def names(self) -> list[str]:
        """File names without suffix, in order."""
        plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", label) for label in self.labels]
        return [f"{number:04d}_{label}" for number, label in enumerate(plain)]

    def shown(self, group: str) -> list[Clip] | list[Window]:
        """The first motions as a page shows them."""
        items = list(zip(self.labels, self.motions, strict=True))[:PAGE_MOTIONS]
        if self.modality.kind == "skeleton":
            return [Clip(label, group, motion) for label, motion in items]
        return [Window(label, group, motion, self.modality.channels) for label, motion in items]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained generator, as `fedmotion.load` returns it."""

    generator: Generator

    @property
    def labels(self) -> tuple[str, ...]:
        """What `sample` takes as a label."""
        return self.generator.codec.labels

    @property
    def rate(self) -> float:
        """Frames a second of what `sample` returns."""
        return self.generator.codec.modality.rate

    def sample(self, n: int, label: str | None = None, seed: int = 0) -> NDArray[np.float32]:
        """Draw `n` motions: joints `[n, 60, 22, 3]` in metres, or sensor windows `[n, frames, channels]`.

        `label` None draws labels too. The same arguments give the same motions. Raises
        InputError for an unknown label or `n` below 1.
        """
        return np.stack(draw(self.generator, n, label, seed).motions)


def load(run: str | Path) -> Model:
    """The generator of a run folder; InputError where it is missing, damaged or not signed."""
    return Model(Checkpoint.load(Path(run)).generator())


def draw(generator: Generator, count: int, label: str | None, seed: int) -> Samples:
    """Draw `count` motions; skeletons get constant bone lengths (post-processing)."""
    drawn, labels = generator.sample(count, label, seed, stochastic=True)
    motions = list(drawn.numpy().astype(np.float32))
    modality = generator.codec.modality
    if modality.kind == "skeleton":
        motions = [project_bones(motion) for motion in motions]
    return Samples(modality, motions, labels)


def write(samples: Samples, format: str, out: Path, title: str) -> list[Path]:
    """Write `samples` under `out`: one file a motion, or for `html` one page of the first ones."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if format == "html":
            return [write_page(samples, out, title)]
        return write_motions(samples.motions, out, format, samples.names(), samples.modality)


def write_page(samples: Samples, out: Path, title: str) -> Path:
    """A self-contained page that plays or charts `samples`."""
    shown = samples.shown("generated")
    rate = samples.modality.rate
    clips = [item for item in shown if isinstance(item, Clip)]
    windows = [item for item in shown if isinstance(item, Window)]
    path = out / PAGE
    page = (
        player_page(clips, title=title, rate=rate) if clips else sensor_page(windows, title=title, rate=rate)
    )
    path.write_text(page, encoding="utf-8")
    return path


def check_format(format: str | None, modality: Modality) -> str:
    """`format`, by default the usual one of the modality; InputError where it does not fit."""
    known = (*FORMATS[modality.kind], "html")
    if format is None:
        return known[0]
    if format not in known:
        raise InputError(f"--format {format}: {modality.kind} motions are written as {' or '.join(known)}")
    return format
