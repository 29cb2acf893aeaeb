"""Skeleton motions as a page carries them: exact whole millimetres in few bytes."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.skeleton import JOINTS, PARENTS

STEPS: Final = (0.001, 0.002, 0.004)
"""Metres that one unit of a position may stand for: the finest one with which the motions fit."""
MOTION_BYTES: Final = 720_000
"""What all motions of a page may take, so that the page stays below a megabyte."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One skeleton motion to show; `joints` is `[frames, 22, 3]` in metres, Y up.

    `group` says where it is from ("generated", "real", "public" have a colour and a mark of
    their own), `label` what kind of motion it is (the page filters by it), `caption` is a
    sentence about it.
    """

    title: str
    group: str
    joints: NDArray[np.float32]
    label: str = ""
    caption: str = ""


def packed(clips: Sequence[Clip]) -> dict[str, object]:
    """`clips` as the player reads them (`web/src/clips.js`).

    Raises InputError if there is no clip, a shape is wrong, a position is not finite, or
    all together are more than a page holds.
    """
    if not clips:
        raise InputError("no motion to show: give at least one clip")
    placed = [_placed(clip) for clip in clips]
    for step in STEPS:
        steps = [max(step, float(np.abs(joints).max()) / 32767) for joints in placed]
        planes = b"".join(_planes(joints, unit) for joints, unit in zip(placed, steps, strict=True))
        text = base64.b64encode(zlib.compress(planes, 9, wbits=-15)).decode()
        if len(text) <= MOTION_BYTES:
            facts = [_facts(clip, unit) for clip, unit in zip(clips, steps, strict=True)]
            return {"clips": facts, "data": text}
    frames = sum(map(len, placed))
    raise InputError(f"{len(clips)} motions of {frames} frames are too much for one page: show fewer of them")


def _facts(clip: Clip, step: float) -> dict[str, object]:
    texts = {"title": clip.title, "group": clip.group, "label": clip.label, "caption": clip.caption}
    return {**texts, "frames": len(clip.joints), "step": step}


def _placed(clip: Clip) -> NDArray[np.float64]:
    """Its positions, checked, with the root of frame 0 at x = z = 0."""
    joints = np.asarray(clip.joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3) or not len(joints):
        raise InputError(f"motion {clip.title!r} has shape {joints.shape}: expected [frames, {JOINTS}, 3]")
    if not np.isfinite(joints).all():
        raise InputError(f"motion {clip.title!r} holds a position that is not finite: leave it out")
    return np.asarray(joints - joints[0, 0] * (1.0, 0.0, 1.0), np.float64)


def _planes(joints: NDArray[np.float64], step: float) -> bytes:
    """Low bytes, then high bytes, of what second differences over time leave to be said.

    Whole steps in 16 bits, each joint relative to its parent; differences wrap around and so
    lose nothing. Joint by joint and axis by axis, time runs fastest.
    """
    whole = np.rint(joints / step).astype(np.int16)
    whole[:, 1:] -= whole[:, PARENTS[1:]].copy()
    for _ in range(2):
        whole = np.concatenate([whole[:1], whole[1:] - whole[:-1]])
    signless = ((whole << 1) ^ (whole >> 15)).astype("<u2").transpose(1, 2, 0)
    return np.ascontiguousarray(signless).view(np.uint8).reshape(-1, 2).T.tobytes()
