"""Procedural people: the private population of `common.motion.population`, with known ground truth."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from client.datasets.base import DataOptions
from common.errors import InputError
from common.motion.population import BASIC_ACTIONS, PRIVATE, synthesise
from common.motion.recording import SKELETON, Recording


class Procedural:
    """`people` synthetic people with `motions` motions each, made anew from `seed` whenever read."""

    modality = SKELETON
    labels: tuple[str, ...] = tuple(sorted(BASIC_ACTIONS))

    def __init__(self, options: DataOptions) -> None:
        if options.people < 1 or options.motions < 1:
            raise InputError(
                f"people {options.people} and motions {options.motions}: a procedural set needs at least one "
                "of each"
            )
        self._options = options
        self._index = {f"p{index:06d}": index for index in range(options.people)}
        self.origin = f"procedural people (seed {options.seed})"

    @property
    def skipped(self) -> list[str]:
        return []

    def people(self) -> tuple[str, ...]:
        return tuple(self._index)

    def column(self, name: str) -> dict[str, str]:
        raise InputError(f"procedural people have no manifest, so no column {name!r}; deal them by hash")

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        indices = sorted(self._index[person] for person in set(people) & self._index.keys())
        return synthesise(PRIVATE, self._options.seed, indices, motions=self._options.motions)
