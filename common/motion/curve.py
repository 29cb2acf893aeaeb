"""Walking and running along a curve: the straight course is bent, with the feet on it.

A bend of space carries a foot that stands still to a foot that stands still; the body turns with
the course and leans into it by atan(v * yaw rate / g).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.motion.anthropometry import Body, Floats
from common.motion.forward import NECK_ROTATION, TWIST, Pose, apply, euler_xzy
from common.motion.gait_angles import ease
from common.motion.stance import turned

_GRAVITY = 9.81
_GRID = 192
_MARGIN = 1.6  # metres of course before the start and after the end: feet reach beyond the root
_LOOK_AHEAD = 0.45  # seconds by which the head leads


@dataclass(frozen=True, eq=False)
class Curve:
    """Headings over the way: `angle` (rad, left positive) turned between `start` and `start + length`
    (m from where the motion begins), smoothly, or evenly where `circle`; all `[B]`."""

    angle: Floats
    start: Floats
    length: Floats
    circle: Floats

    def heading(self, way: Floats) -> Floats:
        """Radians at `way` `[B, ...]` metres."""
        shape = (-1,) + (1,) * (way.ndim - 1)
        share = (way - self.start.reshape(shape)) / self.length.reshape(shape)
        smooth = np.where(self.circle.reshape(shape) > 0, share, ease(share))
        return np.asarray(self.angle.reshape(shape) * smooth)


def draw_curve(chance: Floats, distance: Floats, share: float, tightest: Floats) -> Curve:
    """A curve for each of B clips, from uniform draws `[B, 5]`.

    `distance` metres travelled, `share` of the clips that turn at all, `tightest` `[B]` mean rad/m.
    Half of those that turn walk along a circle, the others turn once by 40 to 110 degrees.
    """
    bent = chance[:, 0] < share
    circle = bent & (chance[:, 1] < 0.5)
    side = np.where(chance[:, 2] < 0.5, 1.0, -1.0)
    length = np.where(circle, distance, np.minimum(0.8 * distance, 3.0 * 0.6 / tightest))
    once = np.minimum(np.deg2rad(40.0 + 70.0 * chance[:, 3]), tightest * length)
    round_ = (0.75 + 0.55 * chance[:, 3]) * tightest * length
    angle = side * np.where(bent, np.where(circle, round_, once), 0.0)
    start = np.where(circle, 0.0, chance[:, 4] * (distance - length))
    return Curve(angle, start, np.maximum(length, 1e-3), circle.astype(np.float64))


def bend(pose: Pose, body: Body, curve: Curve, speed: Floats, time: Floats) -> Pose:
    """`pose` of a straight course along Z, `[B, T]`, led along `curve` at `speed` `[B]` m/s."""
    origin = pose.root[:, :1, 2]
    way = pose.root[..., 2] - origin
    steady = speed[:, None] * time  # what the trunk follows, without the surge of each step
    yaw = curve.heading(steady)
    rate = speed[:, None] * (curve.heading(steady + 0.05) - curve.heading(steady - 0.05)) / 0.1
    lean = np.arctan(speed[:, None] * rate / _GRAVITY)
    course = _Course(curve, way)
    # Toe joints stand while their foot is planted, so they are what is carried over.
    toe = pose.ankle + apply(pose.foot, body.toe[:, None, None])
    foot_yaw = curve.heading(toe[..., 2] - origin[..., None])
    zero = np.zeros_like(foot_yaw)
    foot = euler_xzy(zero, zero, foot_yaw) @ pose.foot
    ankle = course.carry(toe, origin[..., None]) - apply(foot, body.toe[:, None, None])
    height = pose.root[..., 1]
    root = pose.root.copy()
    root[..., 0] += height * np.sin(lean)
    root = course.carry(root[:, :, None], origin[..., None])[:, :, 0]
    root[..., 1] = height * np.cos(lean)
    flat = np.zeros_like(yaw)
    base = euler_xzy(flat, flat, yaw) @ euler_xzy(flat, -lean, flat)
    core = pose.core.copy()
    look = curve.heading(steady + _LOOK_AHEAD * speed[:, None]) - yaw
    look = np.deg2rad(25.0) * np.tanh(look / np.deg2rad(25.0))
    core[..., TWIST] += 0.3 * look
    core[..., NECK_ROTATION] += 0.6 * look
    hinge = turned(pose.hinge, 0.5 * (yaw[..., None] + foot_yaw))
    return replace(pose, root=root, core=core, ankle=ankle, foot=foot, hinge=hinge, base=base)


class _Course:
    """The bent course on a grid over the way, read off by linear interpolation."""

    def __init__(self, curve: Curve, way: Floats) -> None:
        self._first = way.min(axis=1) - _MARGIN
        self._step = (way.max(axis=1) + _MARGIN - self._first) / (_GRID - 1)
        grid = self._first[:, None] + self._step[:, None] * np.arange(_GRID)
        middle = curve.heading((grid[:, 1:] + grid[:, :-1]) / 2)
        steps = self._step[:, None, None] * np.stack([np.sin(middle), np.cos(middle)], axis=-1)
        place = np.concatenate([np.zeros((len(grid), 1, 2)), np.cumsum(steps, axis=1)], axis=1)
        self._place, self._curve = place, curve
        self._place = place - self._read(np.zeros((len(grid), 1)))

    def _read(self, way: Floats) -> Floats:
        """X and Z of the course at `way` `[B, ...]`, `[B, ..., 2]`."""
        shape = (-1,) + (1,) * (way.ndim - 1)
        share = (way - self._first.reshape(shape)) / self._step.reshape(shape)
        before = np.clip(share.astype(np.int64), 0, _GRID - 2)
        part = (share - before)[..., None]
        rows = np.arange(len(way)).reshape(shape)
        return np.asarray((1 - part) * self._place[rows, before] + part * self._place[rows, before + 1])

    def carry(self, points: Floats, origin: Floats) -> Floats:
        """World points `[B, T, K, 3]` of the straight course to the bent one; heights stay."""
        way = points[..., 2] - origin
        yaw = self._curve.heading(way)
        place = self._read(way)
        x = points[..., 0]
        return np.stack(
            [place[..., 0] + x * np.cos(yaw), points[..., 1], place[..., 1] - x * np.sin(yaw)], axis=-1
        )
