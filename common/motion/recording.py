"""What a data set hands over: recordings of people, in one modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.motion.skeleton import FRAME_RATE

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Modality:
    """What the numbers are. Public: declared before any data are read.

    `window` counts the frames of one training sequence; `rate` is in frames a
    second; `channels` names the columns of a sensor window (empty for skeletons).
    """

    kind: Literal["skeleton", "sensor"]
    rate: float
    window: int
    channels: tuple[str, ...] = ()


SKELETON = Modality(kind="skeleton", rate=FRAME_RATE, window=60)
"""Sixty feature frames (three seconds), made from 61 frames of joint positions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One motion of one person.

    `samples` is `[frames, 22, 3]` metres at 20 fps for skeletons, or
    `[frames, channels]` in physical units at the modality's rate for sensors.
    `label` is None where the data set does not say; `captions` are sentences in plain
    language, each of which describes the whole motion. Recordings of a person with the same
    `record` (a motion and its mirror) are one unit of a record-level run; empty: the name.
    """

    person: str
    name: str
    label: str | None
    samples: Array
    captions: tuple[str, ...] = ()
    record: str = ""
