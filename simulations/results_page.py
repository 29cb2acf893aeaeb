"""The plots of a sweep: distance by epsilon and by people, a curve a method, in one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from common.player.charts import Axis, Chart, number
from common.player.markup import card
from common.player.pages import page
from simulations.results_table import Row, Table, mean, named, spread, tables, values

_COLOURS: Final = 6
_MARKS: Final = (1.0, 2.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Steps(Chart):
    """Values at even places, in their order, under `words`; a logarithmic height."""

    words: tuple[str, ...]

    def x_text(self, tick: float) -> str:
        return self.words[round(tick)]

    def y_text(self, tick: float) -> str:
        return number(float(f"{10**tick:.3g}"))


@dataclass(frozen=True)
class Curve:
    """Runs of one name by place; `number` fixes colour and dashes."""

    name: str
    number: int
    points: dict[int, list[Row]]


def results_page(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """The whole page; a plot is drawn where distances at two or more places were measured."""
    done = [row for row in rows if row["status"] == "done" and row["frechet_private"] is not None]
    names = sorted({named(row) for row in done})
    sections = "".join(_by_epsilon(done, keys, names)) + "".join(_by_people(done, keys, names))
    nothing = card("Nothing to draw", "<p>No two runs with a distance differ in epsilon or people.</p>")
    head = (
        f"<header><h1>Sweep</h1><p class='muted'>{len(done)} of {len(rows)} runs with a distance. Fréchet"
        " distance to people held out, lower is better; the scale is logarithmic. Dots are means over seeds,"
        " bars reach from the least to the most. Evaluated in simulation; not released.</p></header>"
    )
    return page("fedmotion sweep", f'<main class="sheet">\n{head}{sections or nothing}</main>', script=False)


def _by_epsilon(rows: Sequence[Row], keys: Sequence[str], names: list[str]) -> Iterator[str]:
    for table in tables(rows, keys):
        epsilons = sorted({row["epsilon_target"] for row in table.rows})
        words = tuple("no noise" if math.isinf(e) else f"ε {e:g}" for e in epsilons)
        if len(epsilons) > 1:
            chart = _plot(table.rows, lambda row, at=epsilons: at.index(row["epsilon_target"]), words, names)  # type: ignore[misc]
            yield card(f"By epsilon: {escape(table.title)}", f"{chart}{_terms(table.claim)}")


def _by_people(rows: Sequence[Row], keys: Sequence[str], names: list[str]) -> Iterator[str]:
    """One plot for each epsilon; the delta may follow the number of people, and is told for each."""
    found: dict[tuple[object, ...], list[Table]] = {}
    for table in tables(rows, keys):
        same = {name: value for name, value in table.terms.items() if name not in ("people", "delta")}
        found.setdefault((*same.values(), *table.others.values()), []).append(table)
    for group in found.values():
        people = sorted({table.terms["people"] for table in group})
        every = [row for table in group for row in table.rows]
        for epsilon in sorted({row["epsilon_target"] for row in every}) if len(people) > 1 else ():
            own = [row for row in every if row["epsilon_target"] == epsilon]
            words = tuple(f"{count:,}" for count in people)
            chart = _plot(own, lambda row, at=people: at.index(row["people"]), words, names)  # type: ignore[misc]
            title = group[0].title.partition(", ")[2]
            what = "without noise, no guarantee" if math.isinf(epsilon) else f"epsilon {epsilon:g}"
            claims = "; ".join(f"{table.terms['people']:,} people: {table.claim}" for table in group)
            yield card(f"By people in training: {what}, {escape(title)}", f"{chart}{_terms(claims)}")


def _terms(claim: str) -> str:
    return f'<p class="muted small">{escape(claim)}.</p>'


def _plot(rows: Sequence[Row], place: Callable[[Row], int], words: tuple[str, ...], names: list[str]) -> str:
    curves = []
    for index, name in enumerate(names):
        points: dict[int, list[Row]] = {}
        for row in rows:
            if named(row) == name:
                points.setdefault(place(row), []).append(row)
        if points:
            curves.append(Curve(name, index, dict(sorted(points.items()))))
    every = (
        values(rows, "frechet_private") + values(rows, "frechet_public_only") + values(rows, "frechet_floor")
    )
    chart = Steps(
        x=Axis(-0.3, len(words) - 0.7, tuple(float(at) for at in range(len(words)))),
        y=_heights(every),
        width=680,
        height=320,
        title="Fréchet distance",
        words=words,
        left=46,
    )
    parts = [*(_drawn(chart, curve) for curve in curves), *_references(chart, rows, place)]
    return f'{_legend(curves)}<div class="plot">{chart.svg(*parts)}</div>'


def _heights(every: Sequence[float]) -> Axis:
    """Decades with their halves and fifths around what is to be seen."""
    above = [value for value in every if value > 0] or [1.0]
    marks = [mark * 10.0**power for power in range(-6, 7) for mark in _MARKS]
    low = max((mark for mark in marks if mark <= min(above)), default=marks[0])
    high = min((mark for mark in marks if mark >= max(above) and mark > low), default=marks[-1])
    ticks = tuple(math.log10(mark) for mark in marks if low <= mark <= high)
    return Axis(ticks[0], ticks[-1], ticks)


def _height(chart: Chart, value: float) -> float:
    return max(math.log10(max(value, 1e-12)), chart.y.low)


def _drawn(chart: Steps, curve: Curve) -> str:
    """Means as dots on a line, from least to most a bar."""
    means = {at: mean(runs, "frechet_private") for at, runs in curve.points.items()}
    line = chart.curve(
        list(means), [_height(chart, value) for value in means.values()], f"curve-{curve.number % _COLOURS}"
    )
    line = line.replace("<polyline", f'<polyline stroke-dasharray="{_dashes(curve.number)}"')
    marks = ""
    for at, runs in curve.points.items():
        found = values(runs, "frechet_private")
        x, y = chart.place(at, _height(chart, means[at]))
        ends = [chart.place(at, _height(chart, end))[1] for end in (min(found), max(found))]
        told = escape(
            f"{curve.name}, {chart.words[at]}: {spread(runs, 'frechet_private')} ({len(found)} runs)"
        )
        marks += f'<line x1="{x}" x2="{x}" y1="{ends[0]}" y2="{ends[1]}" stroke="var(--curve)"/>'
        marks += f'<circle cx="{x}" cy="{y}" r="4" fill="var(--curve)"><title>{told}</title></circle>'
    return f'{line}<g class="curve-{curve.number % _COLOURS}">{marks}</g>'


def _references(chart: Steps, rows: Sequence[Row], place: Callable[[Row], int]) -> Iterator[str]:
    """Public only and the floor: means at each place, dashed."""
    for name in ("public_only", "floor"):
        found = {
            at: mean([row for row in rows if place(row) == at], f"frechet_{name}")
            for at in sorted({place(row) for row in rows})
        }
        known = {at: value for at, value in found.items() if not math.isnan(value)}
        if not known:
            continue
        line = chart.curve(list(known), [_height(chart, value) for value in known.values()])
        x, y = chart.place(list(known)[-1], _height(chart, list(known.values())[-1]))
        yield line.replace('class="curve "', 'class="target" fill="none"')
        yield f'<text x="{x}" y="{y - 6}" text-anchor="end">{name.replace("_", " ")}</text>'


def _dashes(number: int) -> str:
    """Beyond the colours there are, the same ones in dashes."""
    return ("none", "7 3", "2 3")[number // _COLOURS % 3]


def _legend(curves: Sequence[Curve]) -> str:
    keys = "".join(
        f'<span class="curve-{curve.number % _COLOURS}"><svg width="26" height="6"><line x1="0" x2="26"'
        f' y1="3" y2="3" stroke="var(--curve)" stroke-width="3" stroke-dasharray="{_dashes(curve.number)}"/>'
        f"</svg>{escape(curve.name)}</span>"
        for curve in curves
    )
    return f'<div class="keys">{keys}</div>'
