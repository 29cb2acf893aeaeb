"""How good a simulated run's generator is, measured against people it never saw: never released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import torch

from client.datasets import DataSet
from common.generator.fit import FittedGenerator
from common.generator.generator import Generator
from common.generator.sensor_codec import physical_units
from common.generator.shared import SharedGenerator
from common.method import UserBatch
from common.motion.features import to_features
from common.motion.postprocess import postprocess
from common.motion.recording import Modality
from common.vector import Layout
from server.generate import draw
from simulations.corpus import Corpus
from simulations.evaluation.classifier import Classifier
from simulations.evaluation.evaluator import Evaluator
from simulations.evaluation.movement import (
    bone_deviation,
    distance_of,
    jerk,
    skate_ratio,
    spectral_distance,
)
from simulations.public_training import SeededRandom, denoising

FEWEST: Final = 100
"""Held-out windows below which a distance would say more about chance than about motions."""
NOTE: Final = "evaluated in simulation against held-out people; not released"
_BATCH: Final = 256
_AT_ONCE: Final = 32  # motions post-processed together: more of them leave the cache


@dataclass(frozen=True, eq=False)
class Reference:
    """Windows of real people in the simulation, with their labels: those held out and those trained on."""

    held_out: Corpus
    trained: Corpus

    def cut(self, count: int) -> Reference:
        """`count` of each, in a fixed random order."""
        return Reference(some(self.held_out, count), some(self.trained, count))


@dataclass(frozen=True, eq=False)
class Yardstick:
    """All that a set of windows is measured with: against people held out, by what others taught it.

    `evaluator` is fitted on public windows where there are any; `classifier` on the people in
    training (None where fewer than two labels occur), whose vocabulary is `labels`.
    """

    modality: Modality
    held_out: Corpus
    evaluator: Evaluator
    classifier: Classifier | None
    labels: tuple[str, ...]

    @classmethod
    def of(
        cls, reference: Reference, public: Corpus | None, modality: Modality, labels: tuple[str, ...]
    ) -> Self:
        trained = reference.trained
        evaluator = Evaluator.fit((trained if public is None else public).windows, modality)
        rows = trained.labels < len(labels)
        classifier = None
        if len(torch.unique(trained.labels[rows])) > 1:
            classifier = Classifier.fit(evaluator.scores(trained.windows[rows]), trained.labels[rows])
        return cls(modality, reference.held_out, evaluator, classifier, labels)

    def measure(self, other: Corpus) -> dict[str, float | None]:
        """Figures of `other` against the people held out, as a row of the table."""
        real = self.held_out.windows[:, : self.modality.window]
        windows = other.windows[:, : self.modality.window]
        row: dict[str, float | None] = {
            "frechet": round(self.evaluator.frechet(real, windows), 4),
            "accuracy": self.accuracy(other),
            "teaches": self.teaches(other),
        }
        if self.modality.kind == "sensor":
            unit = physical_units(self.modality)
            return row | {"spectral": round(spectral_distance(real / unit, windows / unit), 4)}
        rate = self.modality.rate
        signals = [to_features(part)[..., 3:] for part in (real, windows)]
        return row | {
            "spectral": round(spectral_distance(*signals), 4),
            "skate": round(skate_ratio(windows, rate), 4),
            "bones": round(bone_deviation(windows), 5),
            "jerk": round(distance_of(jerk(real, rate), jerk(windows, rate)), 2),
        }

    def generated(self, generator: Generator, count: int) -> dict[str, float | None]:
        """Figures of `count` motions as `generate` writes them; bones as the generator drew them."""
        kind = self.modality.kind
        own = draw(generator, count, None, seed=1, raw=kind == "skeleton")
        motions = torch.from_numpy(np.stack(own.motions))
        index: Mapping[str, int] = {label: i for i, label in enumerate(self.labels)}
        labels = torch.tensor([index.get(label, len(index)) for label in own.labels])
        if kind == "sensor":
            return self.measure(Corpus(motions, labels))
        parts = [postprocess(part.numpy(), self.modality.rate) for part in motions.split(_AT_ONCE)]
        row = self.measure(Corpus(torch.from_numpy(np.concatenate(parts)), labels))
        return row | {"bones": round(bone_deviation(motions), 5)}

    def floor(self, trained: Corpus) -> dict[str, float | None]:
        """Figures of the people in training; the classifier knows them, and is tried on those held out."""
        return self.measure(trained) | {"accuracy": self.accuracy(self.held_out)}

    def accuracy(self, corpus: Corpus) -> float | None:
        """Share of the labelled windows that are taken for their label; None where none can be."""
        rows = corpus.labels < len(self.labels)
        if self.classifier is None or not rows.any():
            return None
        scores = self.evaluator.scores(corpus.windows[rows])
        return round(self.classifier.accuracy(scores, corpus.labels[rows]), 4)

    def teaches(self, corpus: Corpus) -> float | None:
        """Share of the people held out whom a classifier taught by `corpus` alone takes for their label."""
        rows, real = corpus.labels < len(self.labels), self.held_out.labels < len(self.labels)
        if self.classifier is None or len(torch.unique(corpus.labels[rows])) < 2 or not real.any():
            return None
        taught = Classifier.fit(self.evaluator.scores(corpus.windows[rows]), corpus.labels[rows])
        scores = self.evaluator.scores(self.held_out.windows[real])
        return round(taught.accuracy(scores, self.held_out.labels[real]), 4)


def train_on_public(method: SharedGenerator, corpus: Corpus, rounds: int) -> Generator:
    """The same generator, trained as a denoiser on public motions alone, without noise or clip.

    As long, at the same rates, and drawn with the same sampler as the method's own: a method that fits
    its generator to a release takes its `fit_steps` on public motions (those of its own, where it brings
    any) in place of what was released; any other takes `rounds` steps of `dp_sgd`.
    """
    if isinstance(method, FittedGenerator):
        return _fitted_to_public(method, corpus)
    random = torch.Generator().manual_seed(0)
    method, codec = denoising(method), method.assets.codec
    latents = codec.encode(corpus.windows, corpus.labels)
    state = method.init(0)
    layout = Layout.of(method.parameters(state))
    for _ in range(rounds):
        rows = torch.randint(len(latents), (min(_BATCH, len(latents)), 1), generator=random)
        condition = corpus.condition(rows, codec.frames, random)
        users = UserBatch(latents[rows], condition, torch.ones_like(rows, dtype=torch.bool))
        parameters = {n: v.clone().requires_grad_() for n, v in method.parameters(state).items()}
        loss = method.loss(parameters, method.examples(state, users, SeededRandom(len(rows), random))).mean()
        gradients = torch.autograd.grad(loss, [parameters[name] for name in layout.names])
        mean = layout.flatten(dict(zip(layout.names, gradients, strict=True)))
        state = method.update(state, mean, 0.0)
    return method.generator(state)


def _fitted_to_public(method: FittedGenerator, corpus: Corpus) -> Generator:
    """What the method would fit if public motions were all that had been released."""
    latents = method.assets.codec.encode(corpus.windows, corpus.labels)
    draw = method.public_draw(latents, corpus.labels, 0)
    return method.generator_of(method.fitted(draw, method.start(0), 0))


def quality(
    private: Generator,
    public_only: Generator | None,
    public: Corpus | None,
    reference: Reference,
    data: DataSet,
) -> dict[str, Any]:
    """Figures against held-out people, as `run.json` holds them; null where `missing` says why."""
    count = min(len(reference.held_out.windows), len(reference.trained.windows))
    if count < FEWEST:
        nothing = {"private": None, "public_only": None, "floor": None}
        why = f"no distance was computed: fewer than {FEWEST} windows are held out, or are in training"
        return {"frechet": nothing, "note": NOTE, "missing": [why]}
    reference = reference.cut(count)
    yardstick = Yardstick.of(reference, public, data.modality, data.labels)
    rows = {"private": yardstick.generated(private, count)}
    if public_only is not None:
        rows["public_only"] = yardstick.generated(public_only, count)
    rows["floor"] = yardstick.floor(reference.trained)
    notes = {
        "private": "trained in this run",
        "public_only": "the same generator trained on public motions alone",
        "floor": "other real people",
    }
    missing = []
    if public_only is None:
        missing.append("public only: none, as there are no public motions of this kind to train on")
    table = [{"generator": name, **row, "note": notes[name]} for name, row in rows.items()]
    if public is not None:
        as_they_are = yardstick.measure(some(public, count))
        table.append({"generator": "public motions as they are", **as_they_are, "note": "no generator"})
    distances = {name: rows.get(name, {}).get("frechet") for name in notes}
    return {"frechet": distances, "table": table, "windows": count, "note": NOTE, "missing": missing}


def some(corpus: Corpus, count: int) -> Corpus:
    """`count` windows in a fixed random order."""
    rows = torch.randperm(len(corpus.windows), generator=torch.Generator().manual_seed(0))[:count]
    return Corpus(corpus.windows[rows], corpus.labels[rows])
