"""Captions of synthetic motions: a public grammar, filled in with what the motion truly is.

A word such as "slowly" stands for a range of a measured fact, by public bounds; a motion whose fact
lies outside the range never gets the word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Facts = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """Words by thirds of a fact: below `low`, up to `high`, above it; several words mean the same."""

    fact: str
    low: float
    high: float
    words: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

    def third(self, facts: Facts) -> int:
        """0, 1 or 2."""
        return int(facts[self.fact] >= self.low) + int(facts[self.fact] > self.high)


_PACE: Final = (("slowly", "at a slow pace"), ("at a normal pace", ""), ("quickly", "fast"))
_SWIFT: Final = (("quickly", "fast"), ("",), ("slowly",))  # of durations: the short ones are quick
SCALES: Final[dict[str, dict[str, Scale]]] = {
    "walk": {"pace": Scale("speed", 1.2, 1.4, _PACE)},
    "run": {"runs": Scale("speed", 2.75, 3.15, (
        ("jogs", "runs slowly"), ("runs",), ("runs fast", "runs quickly")
    ))},
    "squat": {
        "depth": Scale("depth", 0.445, 0.49, (("halfway",), ("",), ("deeply", "deep"))),
        "pace": Scale("duration", 0.92, 1.08, _SWIFT),
    },
    "jump": {
        "jumps": Scale("height", 0.26, 0.34, (
            ("makes a small jump", "jumps a little"), ("jumps up", "jumps"),
            ("jumps high", "makes a big jump"),
        )),
    },
    "wave": {"pace": Scale("rate", 1.65, 1.95, (*_PACE[:1], ("",), *_PACE[2:]))},
    "kick": {"height": Scale("peak", 70.0, 79.0, (("at hip height",), ("",), ("high",)))},
    "sit": {"pace": Scale("duration", 1.65, 1.95, _SWIFT)},
    "stand": {"pace": Scale("duration", 1.52, 1.80, _SWIFT)},
    "seated": {},
    "turn": {},
    "punch": {"times": Scale("count", 1.5, 1.5, (("once",), ("once",), ("twice", "two times")))},
    "reach": {"where": Scale("height", -12.0, 20.0, (
        ("forward and down", "forward below the shoulder"), ("forward", "straight out"), ("up", "up high")
    ))},
    "pick_up": {"bends": Scale("depth", 0.38, 0.46, (
        ("bends over", "bends down with little bending of the knees"), ("bends down",),
        ("squats down", "crouches down"),
    ))},
}  # fmt: skip
"""What is said of each action: slot of a template -> words by thirds of a fact.

Speeds in m/s, durations in s, `depth` in leg lengths, jump `height` in m, `peak` (of the hip) and
the `height` of a reach in degrees, `rate` in Hz, `count` in punches.
"""
TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "walk": ("{who} walks {pace} {course}", "{who} is walking {course} {pace}",
             "{who} keeps walking {course} {pace}"),
    "run": ("{who} {runs} {course}", "{who} {runs} {course} with a short flight in each step",
            "{who} {runs} {course} with bent arms"),
    "squat": ("{who} squats down {depth} {pace} and stands up", "{who} squats {depth} once",
              "{who} bends the knees {depth} and rises again"),
    "jump": ("{who} {jumps} on the spot", "{who} crouches and {jumps}", "{who} {jumps} and lands softly"),
    "wave": ("{who} waves {pace} with the {hand} hand", "{who} raises the {hand} arm and waves {pace}",
             "{who} waves the {hand} hand {pace} in greeting"),
    "kick": ("{who} kicks {height} with the {foot} foot", "{who} kicks forward {height} with the {foot} leg",
             "{who} kicks {height} and sets the {foot} foot down again"),
    "sit": ("{who} sits down {pace} on a chair", "{who} sits down {pace}",
            "{who} lowers the body {pace} and sits down on a seat"),
    "stand": ("{who} stands up {pace} from a chair", "{who} stands up {pace}",
              "{who} gets up {pace} from a seat"),
    "seated": ("{who} sits still on a chair", "{who} is seated", "{who} sits with the hands on the thighs"),
    "turn": ("{who} {turns} on the spot", "{who} {turns} in a few steps", "{who} stands and {turns}"),
    "punch": ("{who} punches {times} with the {hand} hand", "{who} throws a {hand} punch {times}",
              "{who} stands in a guard and punches forward {times} with the {hand} fist"),
    "reach": ("{who} reaches {where} with the {hand} hand", "{who} stretches the {hand} arm {where}",
              "{who} reaches {where} with the {hand} arm and takes it back"),
    "pick_up": ("{who} {bends} and picks something up with the {hand} hand",
                "{who} picks something up from the floor with the {hand} hand",
                "{who} {bends}, takes something from the floor and stands up"),
}  # fmt: skip
"""Sentences of each action."""
STRAIGHT: Final = 15.0
"""Degrees of heading below which a course is called straight."""
HALF_TURN: Final = 135.0
"""Degrees from which a turn on the spot is called a turn around."""
CAPTION_DRAWS: Final = 10
"""Uniform numbers that one motion's captions take."""


def describe(label: str, facts: Facts, male: bool, draws: Sequence[float]) -> tuple[str, ...]:
    """Two or three different sentences; `draws` are `CAPTION_DRAWS` uniform numbers of the clip."""
    templates = list(TEMPLATES[label])
    count = 2 if draws[0] < 0.5 else 3
    captions = []
    for number in range(count):
        pick, word, who = draws[1 + 3 * number : 4 + 3 * number]
        template = templates.pop(int(pick * len(templates)))
        words = {"who": _choice(("a person", "someone", "a man" if male else "a woman"), who)}
        words |= {slot: _choice(s.words[s.third(facts)], word) for slot, s in SCALES[label].items()}
        captions.append(" ".join(template.format(**words, **_sides(label, facts, word)).split()))
    return tuple(captions)


def _choice(words: Sequence[str], draw: float) -> str:
    return words[int(draw * len(words))]


def _side(value: float) -> str:
    return "left" if value > 0 else "right"


def _sides(label: str, facts: Facts, draw: float) -> dict[str, str]:
    """Words that stand for a side or a direction."""
    words: dict[str, str] = {name: _side(facts[name]) for name in ("hand", "foot") if name in facts}
    if label in ("walk", "run"):
        words["course"] = _course(facts, draw)
    if label == "turn":
        side = _side(facts["turned"])
        around = abs(facts["turned"]) >= HALF_TURN
        quarter = (f"turns {side}", f"makes a quarter turn to the {side}")
        half = (f"turns around to the {side}", f"makes a half turn to the {side}")
        words["turns"] = _choice(half if around else quarter, draw)
    return words


def _course(facts: Facts, draw: float) -> str:
    if abs(facts["turned"]) < STRAIGHT:
        return _choice(("forward", "straight ahead", "in a straight line"), draw)
    side = _side(facts["turned"])
    if facts["circle"] > 0:
        round_ = "anticlockwise" if side == "left" else "clockwise"
        return _choice((f"in a circle to the {side}", f"{round_} in a circle", "in a circle"), draw)
    return _choice(
        (f"and turns {side}", f"and turns to the {side}", f"in a curve to the {side}", "and turns"), draw
    )
