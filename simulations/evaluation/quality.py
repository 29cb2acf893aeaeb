"""How good a simulated run's generator is, measured against people it never saw: never released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from common.generator.generator import Generator
from common.method import GradientMethod, UserBatch
from common.motion.recording import Modality
from common.vector import Layout
from server.generate import draw
from simulations.evaluation.evaluator import Evaluator
from simulations.prepare import Corpus

FEWEST: Final = 100
"""Held-out windows below which a distance would say more about chance than about motions."""
NOTE: Final = "evaluated in simulation against held-out people; not released"
_BATCH: Final = 256


@dataclass(frozen=True, eq=False)
class Reference:
    """Windows `[n, ...]` of real people in the simulation: those held out and those trained on."""

    held_out: Tensor
    trained: Tensor


class _SeededRandom:
    """Randomness for training on public data."""

    def __init__(self, users: int, random: torch.Generator) -> None:
        self._users, self._random = users, random

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._users, *shape, generator=self._random)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self._users, *shape, generator=self._random)


def train_on_public(method: GradientMethod, corpus: Corpus, generator: Generator, rounds: int) -> Generator:
    """The same generator, trained the same way on public motions alone, without noise or clip."""
    random = torch.Generator().manual_seed(0)
    latents = generator.codec.encode(corpus.windows, corpus.labels)
    state = method.init(0)
    layout = Layout.of(method.parameters(state))
    for _ in range(rounds):
        rows = torch.randint(len(latents), (min(_BATCH, len(latents)), 1), generator=random)
        condition = corpus.condition(rows, generator.codec.frames, random)
        users = UserBatch(latents[rows], condition, torch.ones_like(rows, dtype=torch.bool))
        parameters = {n: v.clone().requires_grad_() for n, v in method.parameters(state).items()}
        loss = method.loss(parameters, method.examples(users, _SeededRandom(len(rows), random))).mean()
        gradients = torch.autograd.grad(loss, [parameters[name] for name in layout.names])
        mean = layout.flatten(dict(zip(layout.names, gradients, strict=True)))
        state = method.update(state, mean)
    return method.generator(state)


def quality(
    private: Generator,
    public_only: Generator | None,
    public: Corpus | None,
    reference: Reference,
    modality: Modality,
) -> dict[str, Any]:
    """Fréchet distances to held-out people, as `run.json` holds them; null where `missing` says why."""
    count = min(len(reference.held_out), len(reference.trained))
    if count < FEWEST:
        nothing = {"private": None, "public_only": None, "floor": None}
        why = f"no distance was computed: fewer than {FEWEST} windows are held out, or are in training"
        return {"frechet": nothing, "note": NOTE, "missing": [why]}
    shuffled = [_shuffle(part)[:count] for part in (reference.held_out, reference.trained)]
    held_out, trained = shuffled
    evaluator = Evaluator.fit(trained if public is None else public.windows, modality)

    def distance(other: Tensor) -> float:
        return round(evaluator.frechet(held_out, other), 4)

    def drawn(generator: Generator) -> float:
        motions = draw(generator, count, None, seed=1).motions
        return distance(torch.from_numpy(np.stack(motions)))

    rows: dict[str, float | None] = {
        "private": drawn(private),
        "public_only": None if public_only is None else drawn(public_only),
        "floor": distance(trained),
    }
    notes: dict[str, str] = {
        "private": "trained in this run",
        "public_only": "the same generator trained on public motions alone",
        "floor": "other real people",
    }
    missing = []
    if public_only is None:
        notes["public_only"] = "none, as there are no public motions of this kind to train on"
        missing.append(f"public only: {notes['public_only']}")
    table = [{"generator": name, "frechet": value, "note": notes[name]} for name, value in rows.items()]
    if public is not None:
        as_they_are = distance(_shuffle(public.windows)[:count])
        table.append(
            {"generator": "public motions as they are", "frechet": as_they_are, "note": "no generator"}
        )
    return {"frechet": rows, "table": table, "windows": count, "note": NOTE, "missing": missing}


def _shuffle(windows: Tensor) -> Tensor:
    return windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))]
