"""Releases to the mean contribution: a sum over sites, divided by public constants."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from common.noise import Source, Stream, gaussian, on_grid
from common.plan import Plan
from common.query import Release, Seen
from common.vector import Vector


@dataclass
class Sum:
    """A running sum of releases, so that memory does not grow with the number of sites."""

    dimension: int
    populations: list[int] = field(default_factory=list)
    charges: int = 0
    sites: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    _total: Vector | None = None

    def add(self, release: Release, population: int) -> None:
        """Add one site's release, of so many declared units."""
        if self._total is None:
            self._total = torch.zeros(self.dimension, dtype=torch.float64)
        self._total += release.total
        self.count(release, population)

    @staticmethod
    def is_exact(plan: Plan) -> bool:
        """Whether releases may be added as they come: the sum is the same to the bit in any order.

        Noised sums of one step are whole multiples of a public power of two (`common.noise.on_grid`), which
        float64 adds without rounding up to 2^53 of them; a billionth of that is in one release.
        """
        return plan.trust == "local" and plan.noise_multiplier > 0 and plan.steps_per_round == 1

    def count(self, release: Release, population: int) -> None:
        """Note whose release is in the sum, and the site's number of charges in this run."""
        if release.site in self.sites:
            raise ValueError(f"{release.site} is in the sum already")
        self.populations.append(population)
        self.charges = max(self.charges, release.charge)
        self.sites.append(release.site)
        self.seen += [release.seen] if release.seen is not None else []

    def unmasked(self, total: Vector) -> None:
        """The whole sum, `[dimension]` float64, of all the sites that were counted."""
        self._total = total

    def noise(self, plan: Plan) -> float:
        """Standard deviation of the noise in each coordinate of `mean`; of kept ones under top_k."""
        sites = len(self.sites)
        if sites == 0:
            return math.inf
        if plan.trust == "secagg":
            variance = sites * plan.share_variance / plan.scale**2
        else:
            variance = plan.noise_std**2 * (sites / plan.steps_per_round if plan.trust == "local" else 1)
        return math.sqrt(variance) / self._denominator(plan)

    def mean(self, plan: Plan, source: Source, round: int) -> Vector:
        """Sum / (q x declared units, or shards of them), `[dimension]` float32.

        Under `central` the noise is added here, once, by the trusted server of the
        reference simulation; the site's ledgers were charged for it.
        """
        total = torch.zeros(self.dimension, dtype=torch.float64) if self._total is None else self._total
        if plan.trust == "central":
            stream = Stream(source.key("central", plan.run_id, round))
            noise = gaussian(stream, plan.noise_std, plan.dimension)
            total = on_grid(total + noise, plan.noise_std)
        return (total / self._denominator(plan)).to(torch.float32)

    def _denominator(self, plan: Plan) -> float:
        """How many contributions are expected in the sum: q x declared units, or declared shards."""
        return plan.sampling_rate * sum(plan.contributors(population) for population in self.populations)
