"""Whether kernels give a row the same bits wherever it stands, which the sensitivity bound rests on.

A method or codec computes each row from that row alone, but matrix kernels treat the
edges of a block differently for some shapes. A model made to amplify last bits turns
that into a dependence of one unit's contribution on who else was drawn; rows that fail
here are therefore computed alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def unmoved(rows: Callable[[Tensor], Tensor], width: int) -> bool:
    """Whether rows keep their bits when all move on by one place in a chunk of `width`.

    `rows` maps indices `[width]` of public probes to one row each; which kernel serves a
    place follows from shapes alone, so that probes speak for people. False where it raises.
    """
    places = torch.arange(width)
    try:
        first = rows(places)
        moved = rows(places.roll(1)).roll(-1, dims=0)
    except Exception:
        return False
    return torch.equal(first, moved)
