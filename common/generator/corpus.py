"""The public motions that a codec was fitted on, by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def digest(windows: Tensor, labels: Tensor, names: Sequence[str]) -> str:
    """SHA-256 over windows, labels and the names of the labels."""
    total = hashlib.sha256("|".join(names).encode())
    for part in (windows.to(torch.float32), labels.to(torch.int64)):
        total.update(repr(tuple(part.shape)).encode())
        total.update(part.contiguous().numpy().tobytes())
    return total.hexdigest()
