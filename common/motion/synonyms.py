"""What other data sets call our actions: a declared table, and nothing is guessed beyond it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "walk": ("walking", "gait", "normal walk", "walk forward", "level walking"),
    "run": ("running", "jog", "jogging"),
    "squat": ("squats", "squatting"),
    "jump": ("jumping", "jumps", "counter movement jump", "cmj", "vertical jump"),
    "wave": ("waving", "hand wave", "wave hand", "hand waving", "waving hand"),
    "kick": ("kicking", "kicks", "front kick"),
    "sit": ("sit down", "sitting down", "stand to sit"),
    "stand": ("stand up", "standing up", "sit to stand", "get up", "getting up"),
    "seated": ("sitting", "sit still", "sitting still", "sedentary"),
    "turn": ("turning", "turn around", "turning around", "turn in place"),
    "punch": ("punching", "punches", "boxing"),
    "reach": ("reaching", "reach out"),
    "pick_up": ("picking up", "pickup", "pick up object", "picking up object"),
}
"""Our action -> other names of it, in lower-case words."""


def _plain(label: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", label).lower()))


_KNOWN: Final = {_plain(name): action for action, names in SYNONYMS.items() for name in (action, *names)}


def action_of(label: str) -> str | None:
    """Our action that `label` names, whatever its case and separators; None where the table has none."""
    return _KNOWN.get(_plain(label))


def label_table(vocabulary: Sequence[str]) -> dict[str, str]:
    """Our action -> the label of `vocabulary` that names it; of several, the first in sorted order."""
    table: dict[str, str] = {}
    for label in sorted(vocabulary):
        action = action_of(label)
        if action is not None:
            table.setdefault(action, label)
    return table
