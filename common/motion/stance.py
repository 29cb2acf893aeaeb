"""A standing person to be changed in place by a keyframed action."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.motion.anthropometry import Floats
from common.motion.forward import EXTENSION, NECK, OUTWARD, PELVIS_ROTATION, TILT, Pose, apply, foot_frame
from common.motion.style import Motions, posture


def onset(motions: Motions, time: Floats, duration: Floats) -> Floats:
    """Start of an event `[B, 1]`, uniform over where the whole of it fits (centred if it does not)."""
    slack = time[-1] - duration - 0.1
    return np.asarray(0.05 + np.where(slack > 0, motions.chance[:, :1] * slack, slack / 2))


class Plan:
    """A standing person over `[B, T]`, arms hanging, feet on their footprints, knees all but straight.

    Actions add to `core`, `sides`, `root`; `pitch` (rad, below 0 raises the heel), `lift` (m, of the
    ball), `knees_out` and `toe_out` (rad) shape the feet and knees, `[B, T, 2]` or `[B, T]`; `steps`
    (m, `[B, T, 2, 3]`) moves the footprints, `wrist` and `grip` lead the hands (`forward.Pose`).
    `ahead` `[B]` metres is how far the left foot stands before the right one.
    """

    def __init__(
        self, motions: Motions, time: Floats, half_width: Floats, ahead: Floats | float = 0.0
    ) -> None:
        self.motions, self.body, self.time = motions, motions.body, time
        core, sides = posture(motions)
        people, frames = len(core), len(time)
        self.core = np.repeat(core[:, None], frames, axis=1)
        self.sides = np.repeat(sides[:, None], frames, axis=1)
        ankle_height = self.body.ankle_height[:, None]
        self.footprint = np.zeros((people, 2, 3))
        self.footprint[..., 0] = half_width[:, None] * OUTWARD
        self.footprint[..., 1] = ankle_height
        lag = 0.012 * motions.trait("stagger")
        self.footprint[..., 2] = -0.02 * motions.stature[:, None] + lag * OUTWARD
        self.footprint[..., 2] += np.broadcast_to(ahead, people)[:, None] / 2 * OUTWARD
        hip = self.body.offsets[:, 1, 0]
        spread = half_width - hip
        far = (
            np.abs(self.footprint[..., 2]).max(axis=1)
            if np.any(ahead)
            else self.footprint[..., 2].max(axis=1)
        )
        straight = (0.9955 * self.body.leg) ** 2 - spread**2 - far**2
        self.standing = ankle_height + np.sqrt(straight)[:, None]
        self.root = np.zeros((people, frames, 3))
        self.root[..., 1] = self.standing
        self.pitch = np.zeros((people, frames, 2))
        self.lift = np.zeros((people, frames, 2))
        self.steps = np.zeros((people, frames, 2, 3))
        self.knee_yaw = np.zeros((people, frames, 2))
        self.wrist: Floats | None = None
        self.grip: Floats | None = None
        self.knees_out = np.broadcast_to(motions.toe_out[:, None] * 0.7, (people, frames)).copy()
        self.toe_out = np.broadcast_to(motions.toe_out[:, None, None], self.pitch.shape).copy()
        self._sway()

    def _sway(self) -> None:
        """Postural sway of some millimetres while standing."""
        phase = 2 * np.pi * self.motions.chance[:, 4:10]
        for axis, columns, size in ((0, (0, 1, 2), 0.006), (2, (3, 4, 5), 0.005)):
            for column, rate in zip(columns, (0.18, 0.41, 0.83), strict=True):
                wave = np.sin(2 * np.pi * rate * self.time + phase[:, column, None])
                self.root[..., axis] += size * wave * 0.2 / (rate + 0.1)

    def lean(self, angle: Floats) -> None:
        """Bend the trunk forward by `angle` `[B, T]`, shared by pelvis and spine; eyes stay ahead."""
        self.core[..., TILT] -= 0.6 * angle
        self.core[..., EXTENSION] -= 0.4 * angle
        self.core[..., NECK] -= 0.6 * angle

    def hands(self) -> tuple[Floats, Floats]:
        """`wrist` and `grip`, to be filled in; no hand is led yet."""
        self.wrist, self.grip = np.zeros((*self.pitch.shape, 3)), np.zeros(self.pitch.shape)
        return self.wrist, self.grip

    def pose(self, **facts: Floats) -> Pose:
        """Feet about their balls: `pitch` below 0 raises the heel, `lift` raises the ball."""
        foot = foot_frame(self.pitch, self.toe_out)
        level = foot_frame(np.zeros_like(self.pitch), self.toe_out)
        toe = self.body.toe[:, None, None]
        ball = self.footprint[:, None] + self.steps + apply(level, toe)
        ball[..., 1] += self.lift
        out = self.knees_out[..., None] * -OUTWARD - self.knee_yaw
        hinge = np.stack([np.cos(out), np.zeros_like(out), np.sin(out)], axis=-1)
        turn = self.core[..., PELVIS_ROTATION, None]
        hinge = turned(hinge, turn)
        ankle = ball - apply(foot, toe)
        return Pose(
            self.root, self.core, self.sides, ankle, foot, hinge, None, self.wrist, self.grip, _flat(facts)
        )


def _flat(facts: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: np.reshape(value, -1) for name, value in facts.items()}


def turned(vector: Floats, yaw: Floats) -> Floats:
    """`vector` `[..., 3]` turned by `yaw` `[...]` radians about the vertical, left positive."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, z = vector[..., 0], vector[..., 2]
    return np.stack([cos * x + sin * z, vector[..., 1], -sin * x + cos * z], axis=-1)


def hips(motions: Motions, extra: float) -> Floats:
    """Half the distance between the feet: under the hips, `extra` of stature wider."""
    width = motions.body.offsets[:, 1, 0] + extra * motions.stature
    return np.asarray(width + 0.010 * np.clip(motions.trait("width")[:, 0], -2.5, 2.5))


def quintic(
    time: Floats, ends: tuple[Floats, Floats], begin: tuple[Floats, ...], end: tuple[Floats, ...]
) -> Floats:
    """Quintic through (position, velocity, acceleration) at both ends in time, constant beyond them."""
    span = ends[1] - ends[0]
    (y0, v0, a0), (y1, v1, a1) = begin, end
    d0, d1, c0, c1 = v0 * span, v1 * span, a0 * span**2 / 2, a1 * span**2 / 2
    gap = y1 - y0 - d0 - c0
    slope, bend = d1 - d0 - 2 * c0, c1 - c0
    cubic, quartic = 10 * gap - 4 * slope + bend, -15 * gap + 7 * slope - 2 * bend
    fifth = 6 * gap - 3 * slope + bend
    s = np.clip((time - ends[0]) / span, 0.0, 1.0)
    return np.asarray(y0 + s * (d0 + s * (c0 + s * (cubic + s * (quartic + s * fifth)))))
