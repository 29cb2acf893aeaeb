"""Adam over the arrays of a public state: a pure function, so that a round can be done again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015, algorithm 1) and an average of the parameters that it finds.

    Its arrays are `parameters/NAME`, `ema/NAME` and the moments `first/NAME`, `second/NAME`.
    """

    beta1: float = 0.9
    beta2: float = 0.99
    tiny: float = 1e-10

    @staticmethod
    def start(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The arrays before the first step."""
        zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
        return _named(parameters, parameters, zeros, zeros)

    def moved(
        self,
        arrays: Mapping[str, Tensor],
        gradient: Mapping[str, Tensor],
        step: int,
        rate: float,
        decay: float,
    ) -> dict[str, Tensor]:
        """The arrays after step number `step` (from 1); `decay` of the average rises to what is given."""
        corrected = rate * math.sqrt(1 - self.beta2**step) / (1 - self.beta1**step)
        decay = min(decay, step / (step + 9))
        parameters: dict[str, Tensor] = {}
        average: dict[str, Tensor] = {}
        first: dict[str, Tensor] = {}
        second: dict[str, Tensor] = {}
        for name, g in gradient.items():
            first[name] = self.beta1 * arrays[f"first/{name}"] + (1 - self.beta1) * g
            second[name] = self.beta2 * arrays[f"second/{name}"] + (1 - self.beta2) * g.square()
            moved = corrected * first[name] / (second[name].sqrt() + self.tiny)
            parameters[name] = arrays[f"parameters/{name}"] - moved
            average[name] = decay * arrays[f"ema/{name}"] + (1 - decay) * parameters[name]
        return _named(parameters, average, first, second)


ADAM: Final = Adam()


def _named(*groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefixes = ("parameters/", "ema/", "first/", "second/")
    named = zip(prefixes, groups, strict=True)
    return {f"{prefix}{name}": value for prefix, group in named for name, value in group.items()}
