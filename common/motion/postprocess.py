"""What generated motions go through: constant bones, joints within their range, feet that stand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.motion.footlock import lock_feet
from common.motion.kinematics import project_bones
from common.motion.limits import limit_flexion
from common.motion.skeleton import FRAME_RATE


def postprocess(joints: ArrayLike, rate: float = FRAME_RATE) -> NDArray[np.float32]:
    """Joints `[..., frames, 22, 3]` in metres, Y up, on their way to a file or a screen.

    Every motion from itself alone: its own bone lengths made constant (`project_bones`),
    knees and elbows held within their range (`limit_flexion`), standing feet kept from
    slipping (`lock_feet`). Of private data it sees nothing but the generator's output.
    """
    return limit_flexion(lock_feet(limit_flexion(project_bones(joints)), rate))
