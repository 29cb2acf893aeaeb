"""A HumanML3D folder: `new_joints`, `new_joint_vecs`, `texts`, splits, and a file that says who is who."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from client.datasets.manifest import USUAL_NAME, Manifest
from client.datasets.motion_folder import Clip, MotionFolder
from common.errors import InputError
from common.motion.intake import Motion
from common.motion.joint_array import SUFFIX, read_joint_array
from common.motion.recording import Recording

JOINTS: Final = "new_joints"
VECTORS: Final = "new_joint_vecs"
TEXTS: Final = "texts"
PEOPLE: Final = "people.csv"
ALL: Final = "all"

_MIRROR: Final = re.compile(r"^M(?=\d)")


def is_humanml3d(folder: Path) -> bool:
    """Whether `folder` has the layout of HumanML3D (or of KIT-ML, whose arrays are then refused by name)."""
    return (folder / JOINTS).is_dir() or (folder / VECTORS).is_dir()


class HumanML3DFolder(MotionFolder):
    """A HumanML3D folder as a data set.

    Positions are preferred to vectors where a motion has both. `people.csv` (or manifest.csv,
    or `manifest`) has a row a motion: `motion`, `person` and, if wanted, `label` and more; a
    mirrored motion `M000001` is the person's of `000001`, and one record with it.
    Without it each motion is somebody nobody knows, which a run whose unit is a person
    refuses. Captions are the lines of `texts` that describe the whole motion: both of their
    times are zero. `split` names the list of motions to take, by default all.txt if there
    is one, and else every motion.
    """

    kind = "HumanML3D"
    suffixes = (SUFFIX,)
    manifests = (PEOPLE, USUAL_NAME)

    @property
    def unknown_people(self) -> str | None:
        named = self._manifest is not None and self._manifest.person_column is not None
        if named or self._options.person_pattern is not None:
            return super().unknown_people
        return (
            f"{self._folder}: HumanML3D does not say which person moves, so no person can be protected:"
            f" add {PEOPLE} with columns motion and person (or --manifest), or protect single motions with"
            " --unit record"
        )

    def _files(self) -> list[Path]:
        found = {path.stem: path for path in sorted((self._folder / VECTORS).glob(f"*{SUFFIX}"))}
        found |= {path.stem: path for path in sorted((self._folder / JOINTS).glob(f"*{SUFFIX}"))}
        found = {name: path for name, path in found.items() if not name.startswith(".")}
        names = self._split()
        if names is None:
            return [found[name] for name in sorted(found)]
        if absent := [name for name in names if name not in found]:
            line = f"{self._split_file()}: {len(absent)} names have no motion, first {absent[0]}"
            self.findings.note(self._split_file().name, line)
        return [found[name] for name in sorted(set(names) & found.keys())]

    def _split_file(self) -> Path:
        return self._folder / f"{self._options.split or ALL}.txt"

    def _split(self) -> list[str] | None:
        """The names in the split's file; None for every motion."""
        path, wanted = self._split_file(), self._options.split
        if not path.is_file():
            if wanted in (None, ALL):
                return None
            known = ", ".join(sorted(p.stem for p in self._folder.glob("*.txt"))) or "none"
            raise InputError(f"{path}: no such split; the folder has {known}")
        try:
            return [name for line in path.read_text(encoding="utf-8").splitlines() if (name := line.strip())]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a readable list of motions ({error})") from None

    def _key(self, path: Path) -> str:
        return path.stem

    def _renamed(self, manifest: Manifest | None) -> Manifest | None:
        """A row may name one of a motion's arrays, as `new_joint_vecs/000001.npy`: that is the motion."""
        if manifest is None:
            return None
        rows: dict[str, Mapping[str, str]] = {}
        for name, row in manifest.rows.items():
            folder, _, motion = name.rpartition("/")
            key = motion if folder in (JOINTS, VECTORS) else name
            if key in rows:
                raise InputError(f"{manifest.path}: two rows are of the motion {key}; leave one")
            rows[key] = row
        return replace(manifest, rows=rows)

    def _row(self, key: str) -> dict[str, str] | None:
        return super()._row(key) or super()._row(self._original(key))

    def _named_person(self, key: str) -> str:
        return self._original(key)

    def _original(self, key: str) -> str:
        """The motion that `M000001` mirrors."""
        return _MIRROR.sub("", key)

    def _read(self, clip: Clip) -> Motion:
        return read_joint_array(clip.path, self._options.rate or 20.0)

    def _recording(self, clip: Clip, motion: Motion) -> Recording:
        return Recording(
            person=clip.person,
            name=clip.key,
            label=clip.label,
            samples=motion.joints,
            captions=tuple(dict.fromkeys((*clip.captions, *self._captions(clip.key)))),
            record=clip.record,
        )

    def _captions(self, key: str) -> tuple[str, ...]:
        path = self._folder / TEXTS / f"{key}.txt"
        if not path.is_file():
            return ()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a readable text ({error}); save it as UTF-8") from None
        return whole_captions(path, lines)


def whole_captions(path: Path, lines: list[str]) -> tuple[str, ...]:
    """The sentences of `sentence#tokens#from#to` lines that describe the whole motion, each once.

    Other times than zero (or nan, which the data set uses for it) say that a sentence describes a
    part: it is left out. InputError names the line that is none.
    """
    captions: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = line.strip().split("#")
        try:
            times = [float(part) for part in parts[2:]]
        except ValueError:
            times = []
        sentence = " ".join(parts[0].split())
        if len(times) != 2 or not sentence:
            raise InputError(f"{path}: line {number} is not sentence#tokens#from#to; correct it")
        if all(math.isnan(time) or time == 0 for time in times):
            captions[sentence] = None
    return tuple(captions)
