"""The public motions of a pre-training: procedural people, folders of licensed recordings, or both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain

from client.datasets import DataOptions, DataSet, open_data_set
from common.errors import InputError
from common.generator.text import TextEncoder
from common.generator.text_encoders import make_text
from common.method import digest_arrays
from common.motion.population import PUBLIC, PUBLIC_ALL, Population, synthesise
from common.motion.recording import SKELETON, Modality, Recording
from common.motion.windows import synthetic_frames
from simulations.codec import PUBLIC_SEED
from simulations.corpus import Corpus, corpus
from simulations.pretraining import Pretraining


@dataclass(frozen=True, eq=False)
class Sources:
    """`fitted` is trained on, `held_out` only looked at; nobody is in both."""

    modality: Modality
    labels: tuple[str, ...]
    text: TextEncoder | None
    origin: str
    fitted: Corpus
    held_out: Corpus
    skipped: Sequence[str]

    def digest(self) -> str:
        """SHA-256 over all windows, labels and the vocabulary, in hexadecimal."""
        parts = {"fitted": self.fitted, "held_out": self.held_out}
        arrays = {f"{name}/windows": part.windows for name, part in parts.items()}
        arrays |= {f"{name}/labels": part.labels for name, part in parts.items()}
        return digest_arrays(arrays, json.dumps(self.labels))


def read_sources(config: Pretraining) -> Sources:
    """All public motions of `config`; InputError where they do not go together."""
    options = DataOptions(
        skip_bad=config.skip_bad, device=config.sensor_device, labels=config.labels, window=config.window
    )
    folders = [open_data_set(path, options) for path in config.public]
    made_up = replace(SKELETON, window=config.window or SKELETON.window)
    modalities = [made_up] * (config.procedural > 0) + [folder.modality for folder in folders]
    if any(modality != modalities[0] for modality in modalities):
        way_out = "leave people out" if config.procedural else "pre-train on each apart"
        raise InputError(f"the public motions are of different modalities: {way_out}")
    labels = config.labels if config.labels is not None else _vocabulary(config, folders)
    fitted, held_out = _parts(config, folders)
    text = make_text(config.text_encoder, config.text_size, labels)
    made = corpus(fitted, modalities[0], labels, text)
    if len(made.windows) == 0:
        raise InputError("there is no public motion to train on: give another --public, or --people")
    return Sources(
        modality=modalities[0],
        labels=labels,
        text=text,
        origin=_origin(config),
        fitted=made,
        held_out=_like(corpus(held_out, modalities[0], labels, text), made),
        skipped=[line for folder in folders for line in folder.skipped],
    )


def _vocabulary(config: Pretraining, folders: Iterable[DataSet]) -> tuple[str, ...]:
    own = _population(config).actions if config.procedural else ()
    others = {label for folder in folders for label in folder.labels} - set(own)
    return (*own, *sorted(others))


def _parts(
    config: Pretraining, folders: Iterable[DataSet]
) -> tuple[Iterator[Recording], Iterator[Recording]]:
    """Recordings to train on and to look at: the last people of every source are held out."""
    fitted: list[Iterator[Recording]] = []
    held_out: list[Iterator[Recording]] = []
    if config.procedural:
        first = _kept(config.procedural, config.holdout)
        indices = range(config.procedural)
        for part, chosen in ((fitted, indices[:first]), (held_out, indices[first:])):
            seed, frames = config.seed + PUBLIC_SEED, synthetic_frames(config.window)
            part.append(synthesise(_population(config), seed, chosen, motions=config.motions, frames=frames))
    for folder in folders:
        people = folder.people()
        first = _kept(len(people), config.holdout)
        fitted.append(folder.recordings(people[:first]))
        held_out.append(folder.recordings(people[first:]))
    return chain(*fitted), chain(*held_out)


def _population(config: Pretraining) -> Population:
    return PUBLIC_ALL if config.actions == "all" else PUBLIC


def _kept(people: int, holdout: float) -> int:
    return max(1, people - round(people * holdout))


def _like(part: Corpus, other: Corpus) -> Corpus:
    """`part`, of the shape of `other` where it is empty."""
    return part if len(part.windows) else Corpus(other.windows[:0], part.labels, part.text)


def _origin(config: Pretraining) -> str:
    made_up = f"{config.procedural} procedural people of fedmotion {version('fedmotion')}"
    named = [made_up] if config.procedural else []
    return "; ".join([*named, *([config.origin] if config.origin is not None else [])])
