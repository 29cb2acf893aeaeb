"""Self-contained pages that show motions: a player for skeletons, line charts for sensor windows.

A page is one file that opens from disk: its code, style and motions are inline and its
Content-Security-Policy forbids every connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.skeleton import FRAME_RATE, JOINTS
from server.charts import Axis, axis, sensor_chart

_PLAYER = Path(__file__).parent / "player"
_STEP = 0.001  # metres: positions are carried as whole millimetres
_TINTS = ("generated", "real", "public")


@dataclass(frozen=True, eq=False)
class Clip:
    """One skeleton motion to show; `joints` is `[frames, 22, 3]` in metres, Y up."""

    title: str
    group: str
    joints: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Window:
    """One sensor window to show; `samples` is `[frames, channels]` in physical units.

    A channel's last underscore separates the sensor from the axis ("wrist_acc_x").
    """

    title: str
    group: str
    samples: NDArray[np.float32]
    channels: tuple[str, ...]


@cache
def asset(name: str) -> str:
    """The text of a file of the player's folder."""
    return (_PLAYER / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def page(title: str, body: str, *, script: bool) -> str:
    """A whole document around `body` (HTML); runs the player's script and no other, if any."""
    code = asset("player.js") if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    policy += f"; form-action 'none'; script-src 'sha256-{digest}'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset('page.css')}{asset('player.css')}</style>\n</head>\n"
        f"<body>\n{body}\n{f'<script>{code}</script>' if script else ''}\n</body>\n</html>\n"
    )


def player_page(
    clips: Sequence[Clip], *, title: str, rate: float = FRAME_RATE, caption: str = "", alarm: str = ""
) -> str:
    """A page that plays `clips` at `rate` frames a second, under `alarm` (HTML, see `markup.alarm`).

    Raises InputError if there is no clip, a clip's shape is wrong or a position is not finite.
    """
    body = f'<main class="full">\n{_header(title, caption)}\n{alarm}{player(clips, rate=rate)}\n</main>'
    return page(title, body, script=True)


def player(clips: Sequence[Clip], *, rate: float, embedded: bool = False) -> str:
    """The player as a part of a page made by `page(..., script=True)`; at most one a page."""
    if not clips:
        raise InputError("no motion to show: give at least one clip")
    data = {"rate": rate, "clips": [_packed(clip) for clip in clips]}
    # "<" never appears inside the block, so no title can close it or open a comment.
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    flag = " data-embedded" if embedded else ""
    return (
        f'<div class="player" data-clips="motions"{flag}>'
        "<noscript>Switch on JavaScript to see the motions.</noscript></div>\n"
        f'<script type="application/json" id="motions">{text}</script>'
    )


def _packed(clip: Clip) -> dict[str, object]:
    joints = np.asarray(clip.joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3) or not len(joints):
        raise InputError(f"motion {clip.title!r} has shape {joints.shape}: expected [frames, {JOINTS}, 3]")
    if not np.isfinite(joints).all():
        raise InputError(f"motion {clip.title!r} holds a position that is not finite: leave it out")
    joints = joints - joints[0, 0] * (1.0, 0.0, 1.0)
    step = max(_STEP, float(np.abs(joints).max()) / 32767)
    whole = np.rint(joints / step).astype("<i2")
    return {
        "title": clip.title,
        "group": clip.group,
        "step": step,
        "data": base64.b64encode(whole.tobytes()).decode(),
    }


def sensor_page(
    windows: Sequence[Window], *, title: str, rate: float, caption: str = "", alarm: str = ""
) -> str:
    """A page of line charts, one card a window, under `alarm`; `rate` is in frames a second.

    Raises InputError if there is no window, or a shape or value is wrong.
    """
    charts = sensor_charts(windows, rate=rate)
    body = f'<main class="sheet">\n{_header(title, caption)}\n{alarm}{charts}\n</main>'
    return page(title, body, script=False)


def sensor_charts(windows: Sequence[Window], *, rate: float) -> str:
    """The cards of `windows`: every chart of one sensor has the same vertical axis."""
    if not windows:
        raise InputError("no sensor window to show: give at least one")
    for window in windows:
        _check_window(window)
    scales = _scales(windows)
    axes = sorted({_split(name)[1] for window in windows for name in window.channels})
    keys = "".join(
        f'<span><i class="dash curve-{i % 6}"></i>{escape(name)}</span>' for i, name in enumerate(axes)
    )
    cards = "\n".join(_card(window, rate, scales) for window in windows)
    return f'<div class="keys">{keys}</div>\n<div class="windows">\n{cards}\n</div>'


def _check_window(window: Window) -> None:
    shape = window.samples.shape
    if len(shape) != 2 or not shape[0] or shape[1] != len(window.channels):
        raise InputError(
            f"window {window.title!r} has shape {shape}: expected [frames, {len(window.channels)}]"
        )
    if not np.isfinite(window.samples).all():
        raise InputError(f"window {window.title!r} holds a value that is not finite: leave it out")


def _split(channel: str) -> tuple[str, str]:
    """Sensor and axis of a channel's name."""
    sensor, _, last = channel.rpartition("_")
    return (sensor, last) if sensor else (channel, channel)


def _sensors(window: Window) -> dict[str, list[int]]:
    columns: dict[str, list[int]] = {}
    for i, name in enumerate(window.channels):
        columns.setdefault(_split(name)[0], []).append(i)
    return columns


def _scales(windows: Sequence[Window]) -> dict[str, Axis]:
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for window in windows:
        for sensor, columns in _sensors(window).items():
            values = window.samples[:, columns]
            low[sensor] = min(low.get(sensor, 0.0), float(values.min()))
            high[sensor] = max(high.get(sensor, 0.0), float(values.max()))
    return {sensor: axis(low[sensor], high[sensor]) for sensor in low}


def _unit(sensor: str) -> str:
    if "acc" in sensor.lower():
        return "m/s²"
    return "rad/s" if "gyr" in sensor.lower() else ""


def _card(window: Window, rate: float, scales: dict[str, Axis]) -> str:
    figures = []
    for sensor, columns in _sensors(window).items():
        name = f"{sensor}, {_unit(sensor)}" if _unit(sensor) else sensor
        chart = sensor_chart(window.samples[:, columns], rate, scales[sensor], f"{window.title}: {name}")
        figures.append(f"<figure><figcaption>{escape(name)}</figcaption>{chart}</figure>")
    tint = window.group if window.group in _TINTS else "other"
    group = f"<small>{escape(window.group)}</small>"
    head = f'<h3><i class="swatch tint-{tint}"></i>{escape(window.title)}{group}</h3>'
    return f'<article class="window">{head}{"".join(figures)}</article>'


def _header(title: str, caption: str) -> str:
    text = f"<p>{escape(caption)}</p>" if caption else ""
    return f"<header><h1>{escape(title)}</h1>{text}</header>"
