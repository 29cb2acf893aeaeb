"""The skeleton: 22 joints, right-handed, metres, Y up, +Z forward, +X the person's left, 20 fps."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

JOINT_NAMES: Final = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2",
    "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck",
    "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
JOINTS: Final = len(JOINT_NAMES)
PARENTS: Final = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
FRAME_RATE: Final = 20.0
"""Frames a second of every skeleton motion inside the system."""

LEFT_HIP, RIGHT_HIP, LEFT_SHOULDER, RIGHT_SHOULDER = 1, 2, 16, 17
FEET: Final = (7, 10, 8, 11)
"""Left ankle, left toe, right ankle, right toe: the order of the contact flags."""

_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_NX, _NY = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)

REST_DIRECTIONS: Final[NDArray[np.float64]] = np.array(
    [(0.0, 0.0, 0.0), _X, _NX, _Y, _NY, _NY, _Y, _NY, _NY, _Y, _Z, _Z, _Y, _X, _NX, _Z] + [_NY] * 6
)
"""Unit direction from parent to joint at rest, `[22, 3]` (zero for the root)."""

REFERENCE_BONES: Final[NDArray[np.float64]] = np.array(
    [0.0, 0.1031, 0.1099, 0.1316, 0.3936, 0.3902, 0.1432, 0.4324, 0.4256, 0.0574, 0.1434, 0.1494,
     0.2194, 0.1375, 0.1434, 0.1030, 0.1316, 0.1230, 0.2568, 0.2631, 0.2660, 0.2699]
)  # fmt: skip
"""Bone lengths of the reference skeleton, metres, `[22]` (zero for the root)."""
