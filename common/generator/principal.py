"""Principal axes of public rows."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_ITERATIONS: Final = 8


def axes(rows: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """The first `latent` principal axes `[width, latent]` of centred `rows` and their deviations.

    Orthogonal iteration (Halko et al., 2011, algorithm 4.4) from a fixed start.
    """
    start = torch.randn(rows.shape[1], latent + 16, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start)[0]
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(rows.T @ (rows @ basis))[0]
    _, spread, turn = torch.linalg.svd(rows @ basis, full_matrices=False)
    return (basis @ turn.T)[:, :latent].contiguous(), spread[:latent] / (len(rows) - 1) ** 0.5
