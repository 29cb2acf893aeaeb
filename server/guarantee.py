"""What a run may claim, in words and over its rounds: no epsilon without the terms that give it a meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from common.player.charts import Axis, Chart, axis, number
from common.player.markup import alarm, card, facts

Run = Mapping[str, Any]

_UNITS = {
    "user": "one person with all of that person's recordings, at all sites",
    "record": "one record; a person with several records is protected less than this",
}
_TRUST = {
    "local": "local: every site adds the full noise before anything leaves it. "
    "The claim holds against everyone, the server included.",
    "secagg": "secagg: every site adds a share of the noise and masks its sum, so that the server sees "
    "the sum of all sites and no site's own. The claim holds against the server and as many colluding "
    "sites as stated, if their number and identities are as the sites agreed.",
    "central": "central: a trusted server adds the noise. In simulation only, as a reference: "
    "the server would see what each site computed.",
}
_REASONS = {
    "trained without noise": "There was no noise (ε = ∞), so the model may repeat what it saw of a person.",
    "trained in test mode": "Sampling and noise were seeded: whoever knows the seed can take the noise away, "
    "so no ε in the run's files is a claim.",
}


def has_guarantee(run: Run) -> bool:
    """Whether the run claims anything: not stamped "none", epsilon finite, delta below 1."""
    privacy = run.get("privacy", {})
    finite = math.isfinite(finite_or_infinite(privacy.get("epsilon_spent")))
    return run.get("guarantee", "none") != "none" and finite and finite_or_infinite(privacy.get("delta")) < 1


def finite_or_infinite(value: Any) -> float:
    """A number; infinity for what JSON cannot say (null, "inf") and for nonsense."""
    try:
        known = float(value)
    except (TypeError, ValueError):
        return math.inf
    return math.inf if math.isnan(known) else known


def show_epsilon(value: Any) -> str:
    """Four digits, or the sign for infinity."""
    epsilon = finite_or_infinite(value)
    return f"{epsilon:.4g}" if math.isfinite(epsilon) else "∞"


def terms(run: Run) -> str:
    """What must stand beside every epsilon, as HTML."""
    privacy = run.get("privacy", {})
    words = ", ".join(f"{name} {privacy.get(name, '?')}" for name in ("unit", "neighbouring", "trust"))
    return f"δ = {_delta(privacy)}, {escape(words)}"


def _delta(privacy: Mapping[str, Any]) -> str:
    return f"{finite_or_infinite(privacy.get('delta')):.3g}"


def _whole(factor: float) -> str:
    """Three digits, and figures of everyday size without an exponent."""
    return f"{float(f'{factor:.3g}'):,.0f}" if 100 <= factor < 1e6 else f"{factor:.3g}"


def guarantee_section(run: Run) -> str:
    """The claim with all its terms, or a warning that there is none."""
    if not has_guarantee(run):
        return no_guarantee(str(run.get("warning") or "no privacy guarantee"))
    privacy = run["privacy"]
    epsilon, unit = finite_or_infinite(privacy.get("epsilon_spent")), str(privacy.get("unit", "?"))
    whose = escape(
        {"user": "any one person", "record": f"any {run.get('record', 'one recording')}"}.get(
            unit, f"any one {unit}"
        )
    )
    factor = f"e<sup>ε</sup> = {_whole(math.exp(min(epsilon, 700.0)))}"
    words = (
        "Seeing the model, its motions and every number the sites released changes the odds of any guess "
        f"whether {whose} took part by at most a factor of {factor}, but for a probability of "
        f"δ = {_delta(privacy)}. The claim stands under these terms:"
    )
    claim = f"ε = {show_epsilon(epsilon)} at δ = {_delta(privacy)} for {whose}"
    stated = facts(_privacy_facts(privacy, str(run.get("record", ""))))
    content = f'<p class="claim">{claim}</p><p>{words}</p>{stated}'
    return card("Guarantee", content, "promise")


def _privacy_facts(privacy: Mapping[str, Any], record: str) -> list[tuple[str, str]]:
    unit, trust = str(privacy.get("unit", "?")), str(privacy.get("trust", "?"))
    spent, target = show_epsilon(privacy.get("epsilon_spent")), show_epsilon(privacy.get("epsilon_target"))
    events = "; ".join(
        f"{event.get('count')} times noise multiplier {_plain(event.get('noise_multiplier'))} "
        f"at sampling rate {_plain(event.get('sampling_rate'))}{_together(event)}"
        for event in privacy.get("events", [])
    )
    return [
        ("Spent", f"ε = {spent} of a target of {target}, at δ = {_delta(privacy)}"),
        ("Unit", escape(_unit(unit, record))),
        ("Sites per person", f"at most {escape(str(privacy.get('sites_per_person', '?')))}"),
        ("Neighbouring", escape(str(privacy.get("neighbouring", "?")))),
        ("Trust", escape(_TRUST.get(trust, trust))),
        *_together_with(privacy),
        ("Accountant", escape(str(privacy.get("accountant", "?")))),
        ("Charged", escape(events or "no event")),
        *_sent(privacy),
    ]


def _unit(unit: str, record: str) -> str:
    """What the unit is, with its limits; an image has nobody who could hold several."""
    if unit == "record" and record == "one image":
        return f"{unit}: {record}; where several images show one person, that person is protected less"
    return f"{unit}: {_UNITS[unit]}" if unit in _UNITS else unit


def _together_with(privacy: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many sites a sum needs and how many of them may collude, where that bears on the claim."""
    if privacy.get("trust") != "secagg":
        return []
    least, most = (escape(str(privacy.get(name, "?"))) for name in ("min_sites", "colluders"))
    noise = _plain(privacy.get("noise_multiplier"))
    return [
        (
            "Sites in a sum",
            f"at least {least}, of which at most {most} may share what they know with the server",
        ),
        (
            "Noise",
            f"multiplier {noise} in whole numbers, charged as what they are worth; see docs/accounting.md",
        ),
    ]


def _sent(privacy: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How noised vectors travelled, where not as they are."""
    words = {
        "bf16": "in bfloat16: rounded after the noise, which costs no privacy",
        "top_k": f"the largest {_plain(privacy.get('keep'))} of the coordinates, chosen after the noise: it"
        " costs no privacy, and biases what is learned",
    }
    kind = str(privacy.get("compression"))
    return [("Sent", escape(words[kind]))] if kind in words else []


def _together(event: Mapping[str, Any]) -> str:
    most = event.get("multiplicity", 1)
    return "" if most == 1 else f", up to {most} contributions of a person under one noise"


def _plain(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def no_guarantee(warning: str) -> str:
    """The alarm of a page about a run that promises nothing; `warning` is `Plan.warning`."""
    why = " ".join(meaning for reason, meaning in _REASONS.items() if reason in warning)
    why = why or "The run's files name no finite ε with a valid δ."
    text = f"{why} Do not share this page, the model or its motions as private."
    return alarm(warning[:1].upper() + warning[1:], text)


def budget_section(run: Run, metrics: Sequence[Mapping[str, Any]]) -> str:
    """Epsilon after each round, if it is a claim, and how many rounds there were."""
    rounds = [row for row in metrics if "round" in row]
    took = f"{len(rounds)} rounds." if rounds else "No round was recorded."
    spent = [(int(row["round"]), finite_or_infinite(row.get("epsilon"))) for row in rounds]
    spent = [(r, epsilon) for r, epsilon in spent if math.isfinite(epsilon)]
    if not has_guarantee(run):
        return card("Rounds", f"<p>{took} Without a guarantee there is no ε to plot.</p>")
    if not spent:
        return card("Rounds", f"<p>{took}</p>")
    note = (
        f"ε at the most exposed site after each round ({terms(run)}); the dashed line is the target. {took}"
    )
    chart = _budget_chart(spent, finite_or_infinite(run["privacy"].get("epsilon_target")))
    return card("Budget over the rounds", f'<p>{note}</p><div class="plot">{chart}</div>')


def _budget_chart(spent: Sequence[tuple[int, float]], target: float) -> str:
    top = max([e for _, e in spent] + ([target] if math.isfinite(target) else []))
    last = max(spent[-1][0], 1)
    ticks = tuple(t for t in axis(0, last, 4).ticks if t <= last and t == int(t))
    chart = Chart(x=Axis(0, last, ticks), y=axis(0.0, top, 4), width=520, height=220,
                  title="Epsilon over the rounds", x_unit="rounds")  # fmt: skip
    parts = [chart.curve([r for r, _ in spent], [e for _, e in spent])]
    if math.isfinite(target):
        (x1, y), (x2, _) = chart.place(0, target), chart.place(last, target)
        parts.append(f'<line class="target" x1="{x1}" x2="{x2}" y1="{y}" y2="{y}"/>')
    x, y = chart.place(*spent[-1])
    parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3.5"/>')
    return chart.svg(*parts)
