"""What a data set hands over: recordings of people (or pictures), in one modality."""

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
    An image is a window of its rows at rate 1, with a channel for each column (`common.motion.image`).
    """

    kind: Literal["skeleton", "sensor", "image"]
    rate: float
    window: int
    channels: tuple[str, ...] = ()


def what_of(modality: Modality) -> str:
    """What the data are, in the plural: skeleton motions, sensor motions or images."""
    return "images" if modality.kind == "image" else f"{modality.kind} motions"


SKELETON = Modality(kind="skeleton", rate=FRAME_RATE, window=60)
"""Sixty feature frames (three seconds), made from 61 frames of joint positions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One motion of one person.

    `samples` is `[frames, 22, 3]` metres at 20 fps for skeletons,
    `[frames, channels]` in physical units at the modality's rate for sensors, or `[rows, columns]`
    in 0..1 for an image, whose person is itself.
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
