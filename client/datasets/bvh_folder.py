"""A folder of BVH files, one motion a file, with or without a manifest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from client.datasets.base import DataOptions, SkippedFiles, check_label, one_value_each
from client.datasets.manifest import Manifest, file_key, find_manifest
from common.errors import InputError
from common.motion.bvh import SUFFIXES, joint_names, read_bvh
from common.motion.recording import SKELETON, Recording


@dataclass(frozen=True)
class Clip:
    """One file: its path, its path inside the folder without suffix, whose it is and what it shows."""

    path: Path
    key: str
    person: str
    label: str | None


def bvh_files(folder: Path) -> list[Path]:
    """All .bvh and .bvh.gz files under `folder`, sorted; hidden ones do not count."""
    files = (path for path in folder.rglob("*.bvh*") if path.name.endswith(SUFFIXES) and path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def name_person(key: str, pattern: str | None) -> str:
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


class BvhFolder:
    """A folder of BVH files as a data set.

    The person is the group `person` of the pattern if one is given, else the
    manifest's person column, else the text before the first `_` of the file name. The
    label is the manifest's. Which joints a skeleton has is a public fact of the set:
    the joint names of most files; files with others are mixed skeletons.
    """

    modality = SKELETON

    def __init__(self, folder: Path, options: DataOptions) -> None:
        self._folder = folder
        self._skipped = SkippedFiles(options.skip_bad)
        files = bvh_files(folder)
        if not files:
            raise InputError(
                f"{folder}: no .bvh or .bvh.gz file in this folder; give the folder of the motions"
            )
        self._manifest = find_manifest(folder, options.manifest)
        self.labels = _vocabulary(self._manifest, options)
        self._clips = self._list(files, options)
        self._check_skeletons()
        self.origin = f"BVH folder {folder.resolve().name}"

    @property
    def skipped(self) -> list[str]:
        return self._skipped.lines

    def people(self) -> tuple[str, ...]:
        return tuple(sorted({clip.person for clip in self._clips}))

    def column(self, name: str) -> dict[str, str]:
        if self._manifest is None:
            raise InputError(
                f"{self._folder}: no manifest, so no column {name!r}; add manifest.csv or --manifest"
            )
        rows = [(clip.person, self._manifest.row(clip.key) or {}) for clip in self._clips]
        return one_value_each(rows, name, str(self._manifest.path))

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        wanted = frozenset(people)
        for clip in self._clips:
            if clip.person not in wanted:
                continue
            try:
                motion = read_bvh(clip.path)
            except InputError as error:
                self._skipped.refuse(clip.key, error)
                continue
            yield Recording(person=clip.person, name=clip.key, label=clip.label, samples=motion.joints)

    def _list(self, files: list[Path], options: DataOptions) -> list[Clip]:
        clips: dict[str, Clip] = {}
        for path in files:
            key = file_key(path.relative_to(self._folder).as_posix())
            try:
                if key in clips:
                    raise InputError(f"{path}: {clips[key].path.name} is the same motion; remove one of them")
                clips[key] = self._clip(path, key, options)
            except InputError as error:
                self._skipped.refuse(str(path), error)
        if self._manifest and (unused := self._manifest.unused(clips)):
            line = f"{self._manifest.path}: {len(unused)} rows name no file of the folder, first {unused[0]}"
            self._skipped.note(str(self._manifest.path), line)
        return list(clips.values())

    def _clip(self, path: Path, key: str, options: DataOptions) -> Clip:
        manifest = self._manifest
        if manifest is None:
            return Clip(path, key, name_person(key, options.person_pattern), None)
        row = manifest.row(key)
        if row is None:
            raise InputError(f"{path}: {manifest.path.name} has no row for {key}; add one")
        source = f"{manifest.path.name}, row of {key}"
        label = row[manifest.label_column].strip() if manifest.label_column else None
        if label is not None:
            check_label(label, self.labels, source)
        if options.person_pattern is not None or manifest.person_column is None:
            return Clip(path, key, name_person(key, options.person_pattern), label)
        person = row[manifest.person_column].strip()
        if not person:
            raise InputError(f"{source}: no person in column {manifest.person_column!r}; fill it in")
        return Clip(path, key, person, label)

    def _check_skeletons(self) -> None:
        names: dict[str, tuple[str, ...]] = {}
        bad: dict[str, InputError] = {}
        for clip in self._clips:
            try:
                names[clip.key] = joint_names(clip.path)
            except InputError as error:
                bad[clip.key] = error
        usual = Counter(frozenset(n) for n in names.values()).most_common(1)
        for clip in self._clips:
            if clip.key in names and (odd := usual[0][0] ^ frozenset(names[clip.key])):
                # Never left out by skip_bad: which are odd would depend on everybody's files.
                raise InputError(
                    f"{clip.path}: mixed skeletons: joint {min(odd)} is not in both this file and most "
                    "others; keep one skeleton in a folder, also with --skip-bad"
                )
            if clip.key in bad:
                self._skipped.refuse(clip.key, bad[clip.key])
        self._clips = [clip for clip in self._clips if clip.key not in bad]
        if not self._clips:
            raise InputError(
                f"{self._folder}: no readable BVH file is left; see the files' own errors without --skip-bad"
            )


def _vocabulary(manifest: Manifest | None, options: DataOptions) -> tuple[str, ...]:
    if options.labels is not None:
        return tuple(sorted(set(options.labels)))
    if manifest is None or manifest.label_column is None:
        return ()
    return tuple(sorted({row[manifest.label_column].strip() for row in manifest.rows.values()} - {""}))
