"""Line charts as inline SVG: coloured by the page's style sheet, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high` with `ticks`, as made by `axis`."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, wanted: int = 4) -> Axis:
    """Round ticks (1, 2 or 5 times a power of ten) that enclose the finite interval [low, high]."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1.0, 2.0, 5.0, 10.0) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, tuple(k * step for k in range(first, last + 1)))


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Size in SVG units and the axes of one chart; `left` is the room for the tick labels."""

    x: Axis
    y: Axis
    width: int
    height: int
    title: str
    x_unit: str = ""
    left: int = 38
    bottom: int = 30

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = self.left + self.x.share(x) * (self.width - self.left - 12)
        down = 8 + (1.0 - self.y.share(y)) * (self.height - self.bottom - 8)
        return round(across, 1), round(down, 1)

    def x_text(self, tick: float) -> str:
        """What a tick is called."""
        return number(tick)

    def y_text(self, tick: float) -> str:
        return number(tick)

    def frame(self) -> str:
        """Grid lines and tick labels."""
        parts: list[str] = []
        left, right = self.left, self.width - 12
        for tick in self.y.ticks:
            _, y = self.place(self.x.low, tick)
            kind = "zero" if tick == 0 else "grid"
            parts.append(f'<line class="{kind}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{self.y_text(tick)}</text>')
        for tick in self.x.ticks:
            x, y = self.place(tick, self.y.low)
            parts.append(f'<text x="{x}" y="{y + 15}" text-anchor="middle">{self.x_text(tick)}</text>')
        return "".join(parts) + self.unit()

    def unit(self) -> str:
        """The horizontal axis's unit at its right end, below a tick's label that stands there."""
        crowded = bool(self.x.ticks) and self.x.share(self.x.ticks[-1]) > 0.8
        _, y = self.place(self.x.low, self.y.low)
        down = y + (27 if crowded else 15)
        return f'<text x="{self.width - 12}" y="{down}" text-anchor="end">{escape(self.x_unit)}</text>'

    def curve(self, xs: Sequence[float], ys: Sequence[float], kind: str = "") -> str:
        points = " ".join("{},{}".format(*self.place(x, y)) for x, y in zip(xs, ys, strict=True))
        return f'<polyline class="curve {kind}" points="{points}"/>'

    def svg(self, *content: str) -> str:
        title = escape(self.title)
        view = f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{title}"'
        return f'<svg class="chart" {view}><title>{title}</title>{self.frame()}{"".join(content)}</svg>'


def number(value: float) -> str:
    """At most four significant digits, without a trailing exponent for everyday sizes."""
    return f"{value:.4g}".replace("-", "\u2212")


def sensor_chart(samples: NDArray[np.float32], rate: float, y: Axis, title: str) -> str:
    """One curve a column of `samples` `[frames, columns]` over time in seconds."""
    times = np.arange(len(samples)) / rate
    whole = axis(0.0, float(times[-1]) if len(times) > 1 else 1.0, 3)
    end = float(times[-1]) if len(times) > 1 else 1.0
    x = Axis(0.0, end, tuple(t for t in whole.ticks if t <= end))
    chart = Chart(x=x, y=y, width=320, height=140, title=title, x_unit="s")
    curves = [chart.curve(times.tolist(), column.tolist(), f"curve-{i % 6}")
              for i, column in enumerate(samples.T)]  # fmt: skip
    return chart.svg(*curves)
