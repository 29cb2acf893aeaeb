"""The public corpus of a simulation: given motions, or procedural people with the labels of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from client.datasets import DataOptions, DataSet, open_data_set
from common.errors import InputError
from common.generator.text_encoders import make_text
from common.motion.population import BASIC_ACTIONS, PUBLIC, PUBLIC_ALL, Population, synthesise
from common.motion.recording import Modality, Recording
from common.motion.sensors import CHANNELS, fill_window
from common.motion.synonyms import label_table
from common.motion.virtual_sensors import Mount, sense
from common.motion.windows import synthetic_frames
from simulations.codec import PUBLIC_SEED
from simulations.config import Simulation
from simulations.corpus import Corpus, corpus

_MOUNTS: Final[dict[str, Mount]] = {"sw": "watch", "sp": "phone"}


def public_corpus(config: Simulation, data: DataSet) -> Corpus | None:
    """Public motions: `--public`, or a shifted procedural population; for sensors, what it would wear.

    None where procedural people cannot stand in: images, sensors with other channels than ours, or labels
    of which the table of synonyms knows none.
    """
    text = make_text(config.text_encoder, config.text_size, data.labels)
    if config.public is None and data.modality.kind == "image":
        return None
    if config.public is None:
        made = _worn(config, data) if data.modality.kind == "sensor" else _procedural(config, data)
        return None if made is None else corpus(made, data.modality, data.labels, text)
    options = DataOptions(skip_bad=config.skip_bad, device=config.sensor_device, window=config.window)
    public = open_data_set(config.public, options)
    if public.modality != data.modality:
        raise InputError(f"--public {config.public} and the data are of different modalities")
    return corpus(public.recordings(public.people()), data.modality, data.labels, text)


def _procedural(config: Simulation, data: DataSet) -> Iterator[Recording]:
    """Public people who perform what simulated ones do; for real data, what its labels name as well."""
    if config.data is None:
        population = PUBLIC_ALL if config.actions == "all" else PUBLIC
        table = {action: action for action in population.actions}
    else:
        table = label_table(data.labels)
        more = tuple(action for action in table if action not in BASIC_ACTIONS)
        population = replace(PUBLIC, actions=BASIC_ACTIONS + more)
    seed = config.seed + PUBLIC_SEED
    frames, indices = synthetic_frames(config.window), range(config.public_people)
    made = synthesise(population, seed, indices, motions=config.motions, frames=frames)
    return _named(made, table)


def _named(recordings: Iterator[Recording], table: dict[str, str]) -> Iterator[Recording]:
    """The recordings under the labels of the data; those it has no label for are left unlabelled."""
    return (replace(recording, label=table.get(recording.label or "")) for recording in recordings)


def _worn(config: Simulation, data: DataSet) -> Iterator[Recording] | None:
    """Virtual sensors on public people who perform what the data's labels name."""
    table = label_table(data.labels)
    if data.modality.channels != CHANNELS or not table:
        return None
    population: Population = replace(PUBLIC_ALL, actions=tuple(a for a in PUBLIC_ALL.actions if a in table))
    motions = max(config.motions, len(population.actions))
    seed, people = config.seed + PUBLIC_SEED, range(config.public_people)
    made = sense(population, seed, people, _MOUNTS[config.sensor_device], motions, rate=data.modality.rate)
    return _filled(_named(made, table), data.modality)


def _filled(recordings: Iterator[Recording], modality: Modality) -> Iterator[Recording]:
    """Short runs filled up or left out by the rule that the data follow."""
    for recording in recordings:
        samples = fill_window(recording.samples, modality.window)
        if samples is not None:
            yield replace(recording, samples=samples)
