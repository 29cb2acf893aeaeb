"""Procedural people: the private population of `common.motion.population`, with known ground truth."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Collection, Iterator

from client.datasets.base import DataOptions, Findings
from client.position import borders, position
from common.errors import InputError
from common.motion.heterogeneity import at_site
from common.motion.population import PRIVATE, PRIVATE_ALL, synthesise
from common.motion.recording import SKELETON, Recording
from common.motion.windows import synthetic_frames


class Procedural:
    """`people` synthetic people with `motions` motions each, made anew from `seed` whenever read.

    With `heterogeneity` a person belongs to the population of their site; the people held out
    belong to the same populations, in the same proportions.
    """

    modality = SKELETON

    def __init__(self, options: DataOptions) -> None:
        if options.people < 1 or options.motions < 1:
            raise InputError(
                f"people {options.people} and motions {options.motions}: a procedural set needs at least one "
                "of each"
            )
        self._options = options
        self._population = PRIVATE_ALL if options.actions == "all" else PRIVATE
        self.labels: tuple[str, ...] = tuple(sorted(self._population.actions))
        self._index = {f"p{index:06d}": index for index in range(options.people)}
        self.origin = f"procedural people (seed {options.seed})"
        self.findings = Findings()
        shares = options.sites if isinstance(options.sites, tuple) else (1.0,) * options.sites
        self._sites = len(shares)
        self._ends = borders(shares, 0.0, options.holdout) + borders(shares, options.holdout, 1.0)

    @property
    def skipped(self) -> list[str]:
        return []

    @property
    def unknown_people(self) -> str | None:
        return None

    def people(self) -> tuple[str, ...]:
        return tuple(self._index)

    def column(self, name: str) -> dict[str, str]:
        raise InputError(f"procedural people have no manifest, so no column {name!r}; deal them by hash")

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        wanted = sorted(set(people) & self._index.keys())
        options, by_site = self._options, dict[int, list[int]]()
        for person in wanted:
            by_site.setdefault(self._site(person), []).append(self._index[person])
        made = (
            synthesise(
                at_site(self._population, options.heterogeneity, options.seed, site),
                options.seed,
                sorted(indices),
                motions=options.motions,
                frames=synthetic_frames(options.window),
            )
            for site, indices in by_site.items()
        )
        return heapq.merge(*made, key=lambda recording: self._index[recording.person])

    def _site(self, person: str) -> int:
        """The number of the person's site; all at site 0 where sites do not differ."""
        if self._options.heterogeneity == 0:
            return 0
        return bisect_right(self._ends, position(person, self._options.seed)) % self._sites
