"""A folder of `.npy` arrays of joints, one motion a file, with or without a manifest."""

from __future__ import annotations

from pathlib import Path

from client.datasets.base import DataOptions
from client.datasets.humanml3d_folder import JOINTS, VECTORS
from client.datasets.motion_folder import Clip, MotionFolder
from common.errors import InputError
from common.motion.intake import Motion
from common.motion.joint_array import SUFFIX, read_joint_array
from common.motion.skeleton import FRAME_RATE


class ArrayFolder(MotionFolder):
    """A folder of joint arrays as a data set, 20 fps unless `rate` says otherwise."""

    kind = "npy"
    suffixes = (SUFFIX,)

    def __init__(self, folder: Path, options: DataOptions) -> None:
        super().__init__(folder, options)
        part = next((c.path.resolve().parent for c in self._clips if _is_part(c.path)), None)
        if part is not None and options.format is None:
            raise InputError(
                f"{folder}: {part.name} is a part of a HumanML3D folder: give {part.parent}, or say"
                " --data-format npy if these are arrays of known people"
            )

    def _read(self, clip: Clip) -> Motion:
        return read_joint_array(clip.path, self._options.rate or FRAME_RATE)


def _is_part(path: Path) -> bool:
    return path.resolve().parent.name in (JOINTS, VECTORS)
