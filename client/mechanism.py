"""Sampler, noise and accounting event of one accepted plan, from one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from common.discrete_gaussian import DiscreteGaussian
from common.event import PrivacyEvent
from common.noise import PersonRandom, Source, Stream, gaussian, on_grid, poisson_sample
from common.plan import Plan
from common.vector import Vector


@dataclass(frozen=True, kw_only=True)
class SampledGaussian:
    """The Gaussian mechanism on a Poisson sample of the units of one site.

    Formal guarantee: `round` noised steps cost each unit `event()` under adding or
    removing that unit, provided every contribution has norm at most the plan's
    `clip_norm` and `noise` is added once to each step's sum. Under `secagg` that is so of the
    sum over the sites that hides m - c honest ones' `share`.
    """

    plan: Plan
    site: str
    source: Source

    def event(self) -> PrivacyEvent:
        """What one round costs."""
        return self.plan.event()

    def sample(self, units: int, round: int, step: int) -> list[int]:
        """Indices of this step's Poisson sample."""
        return poisson_sample(self._stream("sample", round, step), units, self.plan.sampling_rate)

    def noise(self, round: int, step: int) -> Vector:
        """This step's noise, `[dimension]` float64; zero under `central`, where the server adds it."""
        return gaussian(self._stream("noise", round, step), self._std, self.plan.dimension)

    def noised(self, total: Vector, round: int, step: int) -> Vector:
        """`total` with this step's noise, on the public grid of `on_grid`, `[dimension]` float64."""
        return on_grid(total + self.noise(round, step), self._std)

    def share(self, round: int) -> Vector:
        """This site's share of a round's noise under `secagg`, `[dimension]` int64; zero at z = 0."""
        variance = self.plan.share_variance
        if variance == 0:
            return torch.zeros(self.plan.dimension, dtype=torch.int64)
        stream = self._stream("noise", round, 0)
        return torch.from_numpy(DiscreteGaussian(variance).draw(stream, self.plan.dimension))

    @property
    def _std(self) -> float:
        return self.plan.noise_std if self.plan.trust == "local" else 0.0

    def draw_key(self, round: int) -> bytes:
        """A secret from which all draws of a round can be made again, see `repeating`."""
        return self._key("draws", round, 0)

    def repeating(self, draw_key: bytes) -> SampledGaussian:
        """This mechanism with every draw a function of `draw_key`: the same key, the same draws."""
        return replace(self, source=Source(int.from_bytes(draw_key)))

    def person_key(self, round: int, step: int) -> bytes:
        """The key of this step's per-unit randomness, drawn once a step."""
        return self._key("persons", round, step)

    @staticmethod
    def persons(key: bytes, names: Sequence[str]) -> PersonRandom:
        """Each named unit's own randomness under `key`."""
        return PersonRandom(key, names)

    def _key(self, purpose: str, round: int, step: int) -> bytes:
        return self.source.key(purpose, self.site, self.plan.run_id, round, step)

    def _stream(self, purpose: str, round: int, step: int) -> Stream:
        return Stream(self._key(purpose, round, step))
