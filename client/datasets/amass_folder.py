"""A folder of AMASS-style `.npz` files: a folder of files for each person."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from client.datasets.motion_folder import Clip, MotionFolder, files_with
from common.motion.amass import SUFFIX, read_amass
from common.motion.intake import Motion

_SHAPES: Final = ("shape.npz", "_stagei.npz")


class AmassFolder(MotionFolder):
    """A folder of AMASS files as a data set.

    Without pattern and manifest the person is the path of the folder that a file lies in
    (`CMU/01`), as AMASS has one for each subject. Files of body shapes (`shape.npz`,
    `*_stagei.npz`) are no motions.
    """

    kind = "AMASS"
    suffixes = (SUFFIX,)

    def _files(self) -> list[Path]:
        files = sorted(files_with(self._folder, self.suffixes))
        motions = [path for path in files if not path.name.endswith(_SHAPES)]
        if len(motions) < len(files):
            shapes = len(files) - len(motions)
            self.findings.note(
                "body shapes", f"{shapes} files of body shapes ({', '.join(_SHAPES)}) are no motions"
            )
        return motions

    def _named_person(self, key: str) -> str:
        return key.rpartition("/")[0] or self._folder.resolve().name

    def _read(self, clip: Clip) -> Motion:
        return read_amass(clip.path, self._options.rate)
