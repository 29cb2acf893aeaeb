"""People of a simulation, read once and asked for many times: by every site, and by the evaluation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from client.datasets import DataSet, Findings
from common.motion.recording import Recording


class Read:
    """A data set whose files are parsed once, however many simulated sites ask."""

    def __init__(self, data: DataSet, recordings: Collection[Recording]) -> None:
        self._data = data
        self._recordings = recordings
        self.modality = data.modality
        self.labels = data.labels
        self.origin = data.origin
        self.unknown_people = data.unknown_people

    @property
    def findings(self) -> Findings:
        return self._data.findings

    @property
    def skipped(self) -> list[str]:
        return self._data.skipped

    def people(self) -> tuple[str, ...]:
        return self._data.people()

    def column(self, name: str) -> dict[str, str]:
        return self._data.column(name)

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        wanted = set(people)
        return (recording for recording in self._recordings if recording.person in wanted)


class Remembered(Read):
    """A data set, of whom `wanted` are kept once they were read: nobody of them is made a second time."""

    def __init__(self, data: DataSet, wanted: Collection[str]) -> None:
        super().__init__(data, ())
        self._wanted = frozenset(wanted)
        self._kept: dict[str, list[Recording]] = {}

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        if self._kept.keys() >= set(people):
            for person in self.people():
                yield from self._kept[person] if person in people else ()
            return
        read: dict[str, list[Recording]] = {}
        for recording in self._data.recordings(people):
            if recording.person in self._wanted:
                # A copy: the samples are a part of an array with other people's motions.
                kept = replace(recording, samples=recording.samples.copy())
                read.setdefault(recording.person, []).append(kept)
            yield recording
        self._kept |= read
