"""Small crowds of procedural people as tensors, for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from common.motion.population import BASIC_ACTIONS, Population, synthesise


def crowd(population: Population, seed: int, people: int) -> tuple[Tensor, Tensor]:
    """Four motions each: joints `[4 * people, 61, 22, 3]` and indices into `BASIC_ACTIONS`."""
    recordings = list(synthesise(population, seed, range(people), motions=4))
    windows = torch.stack([torch.from_numpy(recording.samples) for recording in recordings])
    return windows, torch.tensor([BASIC_ACTIONS.index(str(recording.label)) for recording in recordings])
