"""Sensor windows on a page: one card of line charts each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.player.charts import Axis, axis, sensor_chart

_TINTS = ("generated", "real", "public")


@dataclass(frozen=True, eq=False)
class Window:
    """One sensor window to show; `samples` is `[frames, channels]` in physical units.

    A channel's last underscore separates the sensor from the axis ("wrist_acc_x").
    """

    title: str
    group: str
    samples: NDArray[np.float32]
    channels: tuple[str, ...]


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
    pairs = _pairs(windows)
    cards = "\n".join(_card(window, rate, scales) if window else "<div></div>" for window in pairs or windows)
    paired = " paired" if pairs else ""
    return f'<div class="keys">{keys}</div>\n<div class="windows{paired}">\n{cards}\n</div>'


def _pairs(windows: Sequence[Window]) -> list[Window | None]:
    """With two groups, their windows in turn, so that one stands beside the other; else nothing."""
    groups = list(dict.fromkeys(window.group for window in windows))
    if len(groups) != 2:
        return []
    columns = [[window for window in windows if window.group == group] for group in groups]
    return [window for pair in zip_longest(*columns) for window in pair]


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
