"""The evaluator: standardised motion statistics in a public PCA space, compared as distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from torch import Tensor

from common.errors import InputError
from common.generator.sensor_codec import physical_units
from common.motion.recording import Modality
from simulations.evaluation.metrics import Matrix, frechet, motion_statistics, sensor_statistics

COMPONENTS: Final = 24


@dataclass(frozen=True, eq=False)
class Evaluator:
    """score = (statistics - mean) / deviation @ basis, all three from public data.

    Public scores have a total variance of one: a distance of 1 is the spread of public motion.

    Numbers of different evaluators, and of the literature, cannot be compared.
    """

    modality: Modality
    mean: Matrix
    deviation: Matrix
    basis: Matrix

    @classmethod
    def fit(cls, windows: Tensor, modality: Modality) -> Self:
        """Fit on PUBLIC windows: joints `[n, >= 60, 22, 3]` metres or sensors `[n, T, channels]`."""
        rows = _statistics(windows, modality)
        if len(rows) <= COMPONENTS:
            raise InputError(f"the evaluator needs more than {COMPONENTS} public windows, got {len(rows)}")
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        deviation = np.maximum(deviation, 1e-3 * np.median(deviation) + 1e-6)
        _, spread, axes = np.linalg.svd((rows - mean) / deviation, full_matrices=False)
        total = np.sqrt(np.sum(spread[:COMPONENTS] ** 2) / len(rows))
        return cls(modality, mean, deviation, axes[:COMPONENTS].T / total)

    def scores(self, windows: Tensor) -> Matrix:
        """Windows to `[n, 24]`; frames beyond the modality's window are not looked at."""
        return ((_statistics(windows, self.modality) - self.mean) / self.deviation) @ self.basis

    def frechet(self, real: Tensor, other: Tensor) -> float:
        """Frechet distance of two sets of windows, cut to equal numbers: the bias depends on n."""
        count = min(len(real), len(other))
        return frechet(self.scores(real[:count]), self.scores(other[:count]))


def _statistics(windows: Tensor, modality: Modality) -> Matrix:
    windows = windows[:, : modality.window]
    if modality.kind == "skeleton":
        return motion_statistics(windows).numpy().astype(np.float64)
    return sensor_statistics(windows / physical_units(modality)).numpy().astype(np.float64)
