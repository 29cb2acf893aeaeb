"""A folder of `.npy` arrays of joints, one motion a file, with or without a manifest."""

from __future__ import annotations

from client.datasets.motion_folder import Clip, MotionFolder
from common.motion.intake import Motion
from common.motion.joint_array import SUFFIX, read_joint_array
from common.motion.skeleton import FRAME_RATE


class ArrayFolder(MotionFolder):
    """A folder of joint arrays as a data set, 20 fps unless `rate` says otherwise."""

    kind = "npy"
    suffixes = (SUFFIX,)

    def _read(self, clip: Clip) -> Motion:
        return read_joint_array(clip.path, self._options.rate or FRAME_RATE)
