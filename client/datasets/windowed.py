"""A skeleton data set cut into sequences of another length than the usual."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from client.datasets.base import DataSet
from common.errors import InputError
from common.motion.recording import Recording


class Windowed:
    """`data` with windows of `window` frames; its recordings are the same."""

    def __init__(self, data: DataSet, window: int) -> None:
        if data.modality.kind != "skeleton":
            way_out = {"sensor": "sensors.toml says how long those of sensors are", "image": "leave it out"}
            raise InputError(f"window {window} is for skeletons: {way_out[data.modality.kind]}")
        self._data = data
        self.modality = replace(data.modality, window=window)
        self.labels = data.labels
        self.origin = data.origin
        self.findings = data.findings

    @property
    def skipped(self) -> list[str]:
        return self._data.skipped

    @property
    def unknown_people(self) -> str | None:
        return self._data.unknown_people

    def people(self) -> tuple[str, ...]:
        return self._data.people()

    def column(self, name: str) -> dict[str, str]:
        return self._data.column(name)

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        return self._data.recordings(people)
