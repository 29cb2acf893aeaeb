"""A folder of motion files, one motion a file, with or without a manifest."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from client.datasets.base import DataOptions, Findings, check_label, check_people, one_value_each
from client.datasets.manifest import RECORD_COLUMN, USUAL_NAME, Manifest, file_key, find_manifest
from common.errors import InputError
from common.motion.intake import Motion
from common.motion.recording import SKELETON, Recording


@dataclass(frozen=True)
class Clip:
    """One file: its path, its path inside the folder without suffix, whose it is and what it shows."""

    path: Path
    key: str
    person: str
    label: str | None
    captions: tuple[str, ...] = ()
    record: str = ""


def files_with(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """The files under `folder` whose names end so, in no order; hidden ones do not count."""
    for path in folder.rglob("*"):
        name = path.name
        if name.lower().endswith(suffixes) and not name.startswith(".") and path.is_file():
            yield path


class MotionFolder(ABC):
    """A folder of files as a data set.

    The person is the group `person` of the pattern if one is given, else the
    manifest's person column, else what the file's name says (`_named_person`). Label
    and captions are the manifest's.
    """

    modality = SKELETON
    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    manifests: ClassVar[tuple[str, ...]] = (USUAL_NAME,)

    def __init__(self, folder: Path, options: DataOptions) -> None:
        self._folder, self._options = folder, options
        self.findings = Findings(options.skip_bad)
        files = self._files()
        if not files:
            known = " or ".join(self.suffixes)
            raise InputError(f"{folder}: no {known} file in this folder; give the folder of the motions")
        self._manifest = self._renamed(find_manifest(folder, options.manifest, self.manifests))
        if self._manifest is not None and options.person_pattern is None:
            self._manifest.require_all_or_nobody()
        self.labels = _vocabulary(self._manifest, options)
        self._clips = self._list(files)
        check_people(self.people(), str(folder))
        self.origin = f"{self.kind} folder {folder.resolve().name}"

    @property
    def skipped(self) -> list[str]:
        return self.findings.lines

    @property
    def unknown_people(self) -> str | None:
        if self._manifest is None or not self._manifest.anonymous or self._options.person_pattern is not None:
            return None
        return (
            f"{self._folder}: {self._manifest.path.name} names nobody, so no person can be protected: fill in"
            f" column {self._manifest.person_column!r}, or protect single motions with --unit record"
        )

    def people(self) -> tuple[str, ...]:
        return tuple(sorted({clip.person for clip in self._clips}))

    def column(self, name: str) -> dict[str, str]:
        if self._manifest is None:
            raise InputError(
                f"{self._folder}: no manifest, so no column {name!r}; add {self.manifests[0]} or --manifest"
            )
        rows = [(clip.person, self._row(clip.key) or {}) for clip in self._clips]
        return one_value_each(rows, name, str(self._manifest.path))

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        wanted = frozenset(people)
        for clip in self._clips:
            if clip.person not in wanted:
                continue
            try:
                motion = self._read(clip)
                recording = self._recording(clip, motion)
            except InputError as error:
                self.findings.refuse(clip.key, error)
                continue
            facts = {"skeleton": motion.skeleton, "unit": motion.unit}
            self.findings.fact(clip.key, rate=f"{motion.source_rate:.4g} fps", **facts)
            yield recording

    @abstractmethod
    def _read(self, clip: Clip) -> Motion:
        """The motion in a file; InputError where there is none."""

    def _recording(self, clip: Clip, motion: Motion) -> Recording:
        return Recording(
            person=clip.person,
            name=clip.key,
            label=clip.label,
            samples=motion.joints,
            captions=clip.captions,
            record=clip.record,
        )

    def _files(self) -> list[Path]:
        return sorted(files_with(self._folder, self.suffixes))

    def _key(self, path: Path) -> str:
        return file_key(path.relative_to(self._folder).as_posix())

    def _renamed(self, manifest: Manifest | None) -> Manifest | None:
        """`manifest` with the keys of this folder's files for its rows."""
        return manifest

    def _row(self, key: str) -> dict[str, str] | None:
        row = self._manifest.row(key) if self._manifest else None
        return None if row is None else dict(row)

    def _named_person(self, key: str) -> str:
        """Who the path inside the folder says it is, without pattern and manifest."""
        return named_person(key, None)

    def _original(self, key: str) -> str:
        """The name of the motion that `key` is a copy of, or itself."""
        return key

    def _list(self, files: list[Path]) -> list[Clip]:
        clips: dict[str, Clip] = {}
        for path in files:
            key = self._key(path)
            try:
                if key in clips:
                    raise InputError(f"{path}: {clips[key].path.name} is the same motion; remove one of them")
                clips[key] = self._clip(path, key)
            except InputError as error:
                self.findings.refuse(key, error)
        if self._manifest and (unused := self._manifest.unused([self._key(path) for path in files])):
            line = f"{self._manifest.path}: {len(unused)} rows name no file of the folder, first {unused[0]}"
            self.findings.note(self._manifest.path.name, line)
        self._check_copies(list(clips.values()))
        return list(clips.values())

    def _check_copies(self, clips: list[Clip]) -> None:
        """InputError, also with skip_bad, where a motion and its copy are two people's: which is wrong?"""
        owners: dict[str, Clip] = {}
        for clip in clips:
            other = owners.setdefault(self._original(clip.key), clip)
            if other.person != clip.person:
                raise InputError(
                    f"{clip.path}: a copy of {other.key}, of {clip.person} and of {other.person}: give a"
                    " motion and its mirror one person"
                )

    def _clip(self, path: Path, key: str) -> Clip:
        manifest, pattern = self._manifest, self._options.person_pattern
        if manifest is None:
            original = self._original(key)
            person = self._named_person(key) if pattern is None else named_person(original, pattern)
            return Clip(path, key, person, None, record=original)
        row = self._row(key)
        if row is None:
            raise InputError(f"{path}: {manifest.path.name} has no row for {key}; add one")
        source = f"{manifest.path.name}, row of {key}"
        label = row[manifest.label_column].strip() if manifest.label_column else None
        if label is not None:
            check_label(label, self.labels, source)
        record = row.get(RECORD_COLUMN, "").strip() or self._original(key)
        if pattern is not None:
            person = named_person(self._original(key), pattern)
        elif manifest.anonymous:
            person = record
        elif manifest.person_column is None:
            person = self._named_person(key)
        elif not (person := row[manifest.person_column].strip()):
            raise InputError(f"{source}: no person in column {manifest.person_column!r}; fill it in")
        return Clip(path, key, person, label, manifest.captions(row), record)


def named_person(key: str, pattern: str | None) -> str:
    """The person in a file's path inside its folder: by `pattern`, or the text before the first `_`."""
    if pattern is None:
        person = key.rpartition("/")[2].split("_", 1)[0]
    else:
        found = re.search(pattern, key)
        person = (found and found["person"]) or ""
    if not person:
        rule = "the text before the first _" if pattern is None else f"the pattern {pattern!r}"
        raise InputError(f"{key}: {rule} names no person; give --person-pattern with a group 'person'")
    return person


def _vocabulary(manifest: Manifest | None, options: DataOptions) -> tuple[str, ...]:
    if options.labels is not None:
        return tuple(sorted(set(options.labels)))
    return () if manifest is None else manifest.vocabulary()
