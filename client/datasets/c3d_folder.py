"""A folder of C3D marker recordings, one motion a file, with or without a manifest."""

from __future__ import annotations

from pathlib import Path

from client.datasets.base import DataOptions
from client.datasets.bvh_folder import find_joint_map
from client.datasets.motion_folder import Clip, MotionFolder
from common.motion.c3d import SUFFIX, read_c3d
from common.motion.intake import Motion


class C3dFolder(MotionFolder):
    """A folder of C3D files as a data set; markers become joints by joints.toml or a built-in set."""

    kind = "C3D"
    suffixes = (SUFFIX,)

    def __init__(self, folder: Path, options: DataOptions) -> None:
        self._joint_map = find_joint_map(folder, options.joints)
        super().__init__(folder, options)

    def _read(self, clip: Clip) -> Motion:
        return read_c3d(clip.path, self._joint_map)
