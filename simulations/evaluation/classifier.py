"""Which action a motion shows: logistic regression on the evaluator's scores and their products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from simulations.evaluation.metrics import Matrix

_PENALTY: Final = 1e-3
_STEPS: Final = 100


@dataclass(frozen=True, eq=False)
class Classifier:
    """argmax of standardised features times `weight` `[features + 1, labels]`."""

    mean: Tensor
    deviation: Tensor
    weight: Tensor

    @classmethod
    def fit(cls, scores: Matrix, labels: Tensor) -> Self:
        """Fit on scores `[n, d]` with `labels` `[n]`: minimum of cross-entropy and a ridge, by L-BFGS."""
        features = _products(scores)
        mean, deviation = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
        rows = _with_one((features - mean) / deviation)
        weight = torch.zeros(rows.shape[1], int(labels.max()) + 1, requires_grad=True)
        solver = torch.optim.LBFGS([weight], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            solver.zero_grad()
            loss = cross_entropy(rows @ weight, labels) + _PENALTY * weight[:-1].square().sum()
            loss.backward()
            return loss

        solver.step(objective)
        return cls(mean, deviation, weight.detach())

    def accuracy(self, scores: Matrix, labels: Tensor) -> float:
        """Share of motions that are taken for their own label."""
        rows = _with_one((_products(scores) - self.mean) / self.deviation)
        return float(((rows @ self.weight).argmax(dim=1) == labels).float().mean())


def _products(scores: Matrix) -> Tensor:
    """Scores and all products of two, `[n, d + d (d + 1) / 2]`."""
    rows = torch.from_numpy(scores).to(torch.float32)
    first, second = torch.triu_indices(rows.shape[1], rows.shape[1])
    return torch.cat([rows, rows[:, first] * rows[:, second]], dim=1)


def _with_one(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
