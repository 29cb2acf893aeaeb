"""What generated images are good for: networks that learn to tell classes from them alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

_STEPS: Final = 600
_BATCH: Final = 128
_RATE: Final = 1e-3
_HIDDEN: Final = 100


def _logistic(rows: int, columns: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(rows * columns, classes))


def _mlp(rows: int, columns: int, classes: int) -> nn.Module:
    hidden = nn.Linear(rows * columns, _HIDDEN)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(_HIDDEN, classes))


def _cnn(rows: int, columns: int, classes: int) -> nn.Module:
    """Two convolutions that halve both sides, and two linear layers."""
    wide = 32 * -(-rows // 4) * -(-columns // 4)
    down = [nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU()]
    down += [nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()]
    last = [nn.Flatten(), nn.Dropout(0.25), nn.Linear(wide, _HIDDEN), nn.ReLU()]
    return nn.Sequential(*down, *last, nn.Linear(_HIDDEN, classes))


RECOGNISERS: Final[dict[str, Callable[[int, int, int], nn.Module]]] = {
    "logistic": _logistic,
    "mlp": _mlp,
    "cnn": _cnn,
}
"""The three of the published tables: logistic regression, a layer of 100, two convolutions."""


def taught(kind: str, images: Tensor, labels: Tensor, classes: int, seed: int = 0) -> nn.Module:
    """A recogniser after 600 steps of Adam on batches of 128 of `images` `[n, rows, columns]`.

    Its rate falls to zero as half a cosine. No step looks at other images, so that none is chosen by them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RECOGNISERS[kind](images.shape[1], images.shape[2], classes)
        solver = torch.optim.Adam(model.parameters(), lr=_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(solver, _STEPS)
        for _ in range(_STEPS):
            rows = torch.randint(len(images), (_BATCH,))
            solver.zero_grad()
            cross_entropy(model(_scaled(images[rows])), labels[rows]).backward()
            solver.step()
            schedule.step()
    return model.eval()


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of `images` that `model` takes for their label."""
    with torch.no_grad():
        found = torch.cat([model(_scaled(part)).argmax(dim=1) for part in images.split(1000)])
    return float((found == labels).float().mean())


def _scaled(images: Tensor) -> Tensor:
    """From 0..1 to -1..1, with an axis of channels."""
    return images[:, None] * 2 - 1
