"""People whom the evaluation asks for again are made once, and are the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from client.datasets import DataOptions, DataSet, open_data_set
from common.motion.recording import Recording
from simulations.people import Read, Remembered


class Counted(Read):
    """A data set that counts whom it was asked for."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data, ())
        self.asked: list[str] = []

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        self.asked += people
        return self._data.recordings(people)


def same(one: Iterator[Recording], other: Iterator[Recording]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return bool(pairs) and all(
        (a.person, a.name, a.label) == (b.person, b.name, b.label) and np.array_equal(a.samples, b.samples)
        for a, b in pairs
    )


def test_whoever_is_wanted_again_is_not_made_again() -> None:
    data = Counted(open_data_set(None, DataOptions(people=12, motions=2)))
    everybody = data.people()
    wanted, sites = everybody[:6], (everybody[1::2], everybody[0::2])
    remembered = Remembered(data, wanted)
    for people in sites:
        assert same(remembered.recordings(people), open_data_set(None, DataOptions(people=12, motions=2))
                    .recordings(people))  # fmt: skip
    data.asked.clear()
    plain = open_data_set(None, DataOptions(people=12, motions=2))
    assert same(remembered.recordings(wanted), plain.recordings(wanted))
    assert data.asked == []
    assert same(remembered.recordings(everybody), plain.recordings(everybody))
    assert data.asked == list(everybody), "the others are not kept: memory must not grow with the people"


def test_a_reading_that_stops_half_way_keeps_nobody_half() -> None:
    data = Counted(open_data_set(None, DataOptions(people=4, motions=2)))
    remembered = Remembered(data, data.people())
    next(remembered.recordings(data.people()))
    assert len(list(remembered.recordings(data.people()))) == 8
