"""The report of a run: one self-contained page with the guarantee, its price, the quality and the motions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from common.motion.skeleton import FRAME_RATE
from common.player.charts import number
from common.player.clip import Clip
from common.player.markup import card, facts, table
from common.player.pages import page, player
from common.player.picture import Picture, picture_grid
from common.player.window import Window, sensor_charts
from server.guarantee import (
    Run,
    budget_section,
    finite_or_infinite,
    guarantee_section,
    has_guarantee,
    show_epsilon,
    terms,
)
from server.origin import training_section

_MANY_SITES = 12
_ROWS = {
    "private": ("Private generator", "trained in this run on the sites' data"),
    "public_only": ("Public only", "the same generator without any of the sites' data: costs no privacy"),
    "floor": ("Floor", "real held-out people against other real people: the best that can be reached"),
}


def report_page(
    run: Run,
    metrics: Sequence[Mapping[str, Any]],
    clips: Sequence[Clip] | Sequence[Window] | Sequence[Picture],
    *,
    rate: float = FRAME_RATE,
    command: str = "",
) -> str:
    """The report of `run` (the parsed run.json) with `metrics` (the rows of metrics.jsonl).

    `clips` are motions, sensor windows or images to show, at `rate` frames a second; `command`
    starts such a run again. A section without content is left out. Raises InputError if a
    clip has a wrong shape or value.
    """
    motions = [clip for clip in clips if isinstance(clip, Clip)]
    windows = [clip for clip in clips if isinstance(clip, Window)]
    pictures = [clip for clip in clips if isinstance(clip, Picture)]
    sections = (
        _header(run),
        guarantee_section(run),
        _notes(run),
        _samples(motions, windows, rate) or _images(pictures),
        budget_section(run, metrics),
        training_section(run),
        _quality(run),
        _sites(run),
        _repeat(command),
        _versions(run),
    )
    title = f"fedmotion report: {run.get('method', 'unknown method')}"
    title += "" if has_guarantee(run) else " (no privacy guarantee)"
    return page(title, f'<main class="sheet">\n{"".join(sections)}</main>', script=bool(motions))


def _header(run: Run) -> str:
    sites = len(run.get("sites", []))
    words = (
        f"Method {run.get('method', 'unknown')}",
        f"{sites} {'site' if sites == 1 else 'sites'}",
        f"{run.get('rounds', '?')} rounds",
        f"engine {run.get('engine', '?')}",
    )
    line = escape(", ".join(words))
    what = "image" if _of_images(run) else "motion"
    return f'<header><h1>Shared {what} generator</h1><p class="muted">{line}.</p></header>\n'


def _of_images(run: Run) -> bool:
    return bool(run.get("modality", {}).get("kind") == "image")


def _notes(run: Run) -> str:
    lines = "".join(f"<li>{escape(_sentence(str(line)))}</li>" for line in run.get("notes", []))
    return card("What to know about this run", f"<ul>{lines}</ul>") if lines else ""


def _samples(motions: Sequence[Clip], windows: Sequence[Window], rate: float) -> str:
    if motions:
        note = "Drag to turn; choose a motion to see it large."
        if len({clip.group for clip in motions}) > 1:
            note += " Compare sets a motion beside one of another group."
        note += _real_note({clip.group for clip in motions})
        content = f'<p class="muted small">{note}</p>{player(motions, rate=rate, embedded=True)}'
        return card("Motions", content, "embed")
    if not windows:
        return ""
    note = "All charts of one sensor share their vertical axis." + _real_note({w.group for w in windows})
    content = f'<p class="muted small">{note}</p>{sensor_charts(windows, rate=rate)}'
    return card("Sensor windows", content)


def _images(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    note = "Drawn by the private generator, sorted by what each was asked to show."
    return card("Images", f'<p class="muted small">{note}</p>{picture_grid(pictures)}')


def _real_note(groups: set[str]) -> str:
    if "real" not in groups:
        return ""
    text = (
        "What is marked real are recordings as they are: no guarantee covers them, so check before you share."
    )
    return f" <strong>{text}</strong>"


@dataclass(frozen=True)
class _Row:
    name: str
    distance: float  # infinite where it is not known
    note: str
    private: bool


def _quality(run: Run) -> str:
    quality = run.get("quality", {})
    rows = _table_rows(quality.get("table", [])) or _frechet_rows(quality.get("frechet", {}))
    if not rows:
        missing = "".join(f"<p>{escape(_sentence(line))}</p>" for line in quality.get("missing", []))
        return card("Quality", missing) if missing else ""
    longest = max([row.distance for row in rows if math.isfinite(row.distance)] + [1e-12])
    lines = "".join(_quality_row(row, longest) for row in rows)
    spent = "no privacy guarantee"
    if has_guarantee(run):
        spent = f"ε = {show_epsilon(run['privacy'].get('epsilon_spent'))}, {terms(run)}"
    what, who = ("images", "images") if _of_images(run) else ("motions", "people")
    words = (
        f"<p>The private row is this run's generator ({spent}). The Fréchet distance compares the {what} of "
        f"two sets through their features, by mean and covariance: 0 means equal, smaller is closer to real "
        f"{who}. It is measured against {who} held out of the training. Its values compare rows of this "
        f'table, not tables of other papers.</p><p class="muted">It was evaluated in simulation, with the '
        f"held-out {who} at hand. It is computed from private data without noise, so a deployment does not "
        "release it.</p>"
    )
    heads = ("Generator", "", "Fréchet distance")
    verdict = _verdict(quality.get("frechet", {}))
    return card("Quality", f"{table(heads, lines)}{verdict}{words}{_figures(quality.get('table', []))}")


_FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "accuracy": (
        "Action",
        "share of motions that a classifier, taught by people in training, takes for their label",
    ),
    "teaches": (
        "Teaches",
        "share of people held out whom a classifier, taught by the row's motions, takes for their label",
    ),
    "spectral": ("Spectrum", "how differently power is spread over frequencies, 0 to 1"),
    "skate": ("Skating", "share of frames in which a planted toe slides faster than 0.3 m/s"),
    "bones": ("Bones", "variation of a bone's length over a motion, as a share of the length"),
    "logistic": (
        "Logistic",
        "share of held-out images that a logistic regression recognises, taught by the row's images alone",
    ),
    "mlp": ("MLP", "the same, of a network with a layer of 100"),
    "cnn": ("CNN", "the same, of two convolutions and two layers"),
    "jerk": ("Jerk", "Wasserstein distance to held-out people, m/s³"),
}


def _figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """What else was measured, row by row; nothing where only distances were."""
    shown = [name for name in _FIGURES if any(row.get(name) is not None for row in rows)]
    if not shown:
        return ""
    lines = ""
    for row in rows:
        cells = "".join(
            f'<td class="number">{"" if row.get(name) is None else number(float(row[name]))}</td>'
            for name in shown
        )
        lines += f"<tr><td>{escape(str(row.get('generator', '?')).replace('_', ' '))}</td>{cells}</tr>"
    meanings = "; ".join(f"{_FIGURES[name][0]}: {_FIGURES[name][1]}" for name in shown)
    heads = ("Generator", *(_FIGURES[name][0] for name in shown))
    note = f"{meanings}. What is real stands in the row of the floor."
    return f'{table(heads, lines)}<p class="muted">{escape(note)}</p>'


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _table_rows(rows: Sequence[Mapping[str, Any]]) -> list[_Row]:
    return [
        _Row(
            name.replace("_", " "),
            finite_or_infinite(row.get("frechet")),
            str(row.get("note", "")),
            "private" in name.lower(),
        )
        for row in rows
        for name in [str(row.get("generator", "?"))]
    ]


def _frechet_rows(frechet: Mapping[str, Any]) -> list[_Row]:
    return [
        _Row(name, finite_or_infinite(frechet[key]), note, key == "private")
        for key, (name, note) in _ROWS.items()
        if frechet.get(key) is not None
    ]


def _quality_row(row: _Row, longest: float) -> str:
    known = math.isfinite(row.distance)
    share = min(max(100.0 * row.distance / longest, 0.0), 100.0) if known else 0.0
    kind = ' class="private"' if row.private else ""
    return (
        f'<tr><td>{escape(row.name)}<br><span class="muted small">{escape(row.note)}</span></td>'
        f'<td class="meter"><i{kind} style="width:{share:.1f}%"></i></td>'
        f'<td class="number">{number(row.distance) if known else "not known"}</td></tr>'
    )


def _verdict(frechet: Mapping[str, Any]) -> str:
    private = finite_or_infinite(frechet.get("private"))
    public = finite_or_infinite(frechet.get("public_only"))
    if not (math.isfinite(private) and math.isfinite(public) and public > 0):
        return ""
    change = 100.0 * (1.0 - private / public)
    text = "The sites' data did not help: public data alone come at least as close to held-out people."
    if change > 0:
        text = f"The sites' data brought the generator {change:.0f} % closer to held-out people than without."
    return f"<p><strong>{text}</strong></p>"


def _sites(run: Run) -> str:
    sites = run.get("sites", [])
    if not sites:
        return ""
    claimed = has_guarantee(run)
    rows = "".join(
        f"<tr><td>{escape(str(site.get('name', '?')))}</td>"
        f'<td class="number">{escape(str(site.get("declared_population", "?")))}</td>'
        f'<td class="number">{show_epsilon(site.get("epsilon_spent")) if claimed else "no claim"}</td></tr>'
        for site in sites
    )
    content = table(("Site", "Declared population", "ε spent"), rows)
    if len(sites) > _MANY_SITES:
        content = f"<details><summary>All {len(sites)} sites</summary>{content}</details>"
    note = "Populations are public: declared, or in a simulation without a declaration, counted."
    if claimed:
        note += f" ε: {terms(run)}."
    return card("Sites", f'{content}<p class="muted small">{note}</p>')


def _repeat(command: str) -> str:
    if not command:
        return ""
    text = (
        "The seed fixes what is public: initial weights, public corpus, partition. Outside test mode, "
        "sampling and noise come from the operating system: a repeat follows the same plan at its price, "
        "and its numbers differ a little."
    )
    return card("How to repeat this run", f"<pre>{escape(command)}</pre><p>{text}</p>")


def _versions(run: Run) -> str:
    versions = {"fedmotion": run["fedmotion"]} if "fedmotion" in run else {}
    versions |= run.get("versions", {})
    pairs = [(escape(str(name)), escape(str(value))) for name, value in versions.items()]
    return card("Versions", facts(pairs)) if pairs else ""
