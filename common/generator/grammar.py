"""Public sentences about movement, to which the projection of a text encoder is fitted."""

from __future__ import annotations

from typing import Final, NamedTuple

_WHO: Final = ("a person", "someone", "a man", "a woman", "he", "she", "the figure")
_DOES: Final[dict[str, tuple[str, ...]]] = {
    "walk": ("walks", "strolls", "is walking", "takes a few steps", "marches", "wanders about"),
    "run": ("runs", "jogs", "is running", "sprints", "races along", "is jogging"),
    "jump": ("jumps", "jumps up", "hops", "leaps into the air", "is jumping", "bounces on the spot"),
    "squat": ("squats", "squats down", "crouches", "does a squat", "bends the knees and rises again"),
    "wave": ("waves", "waves a hand", "is waving", "raises an arm and waves", "waves hello", "waves goodbye"),
    "kick": ("kicks", "kicks something", "does a kick", "swings a leg into a kick", "kicks with a foot"),
    "sit down": ("sits down", "sits down on a chair", "takes a seat on a chair", "sits", "lowers to a seat"),
    "stand up": ("stands up", "gets up", "rises from a chair", "stands up from a seat", "gets off a chair"),
    "seated": ("is seated", "sits still on a chair", "stays seated", "remains sitting"),
    "turn": ("turns", "turns around", "spins on the spot", "rotates the body", "makes a turn", "is turning"),
    "punch": ("punches", "throws a punch", "boxes", "punches with a fist", "is punching the air"),
    "reach": ("reaches out", "reaches up", "reaches for something", "stretches an arm out", "reaches ahead"),
    "pick up": ("picks something up", "picks an object up from the floor", "bends down and takes something",
                "lifts an object from the ground", "grabs something from the floor"),
    "bend": ("bends over", "bows", "leans forward"),
    "dance": ("dances", "is dancing", "does a dance"),
    "throw": ("throws a ball", "throws something", "tosses an object"),
    "catch": ("catches a ball", "catches something"),
    "climb": ("climbs stairs", "climbs up a ladder", "goes up the stairs"),
    "crawl": ("crawls", "crawls on hands and knees"),
    "lie": ("lies down", "lies on the floor"),
    "fall": ("falls", "stumbles and falls", "falls over"),
    "carry": ("carries something", "holds a box"),
    "push": ("pushes something", "pushes a heavy object away"),
    "pull": ("pulls something", "pulls a rope"),
    "swim": ("swims", "makes swimming strokes"),
    "clap": ("claps", "claps the hands"),
    "standing": ("stands", "stands still", "is standing"),
}  # fmt: skip
_HOW: Final[dict[str, tuple[str, ...]]] = {
    "": ("",),
    "slow": ("slowly", "at a slow pace", "carefully"),
    "fast": ("quickly", "fast", "at high speed"),
    "circle": ("in a circle", "round and round", "in circles"),
    "left": ("to the left", "with the left hand", "with the left leg"),
    "right": ("to the right", "with the right hand", "with the right leg"),
    "forward": ("forward", "straight ahead"),
    "back": ("backward", "backwards"),
    "sideways": ("sideways", "to the side"),
    "both": ("with both arms",),
    "again": ("several times", "repeatedly"),
    "once": ("once",),
    "curve": ("along a curve",),
    "high": ("high", "as high as possible"),
    "low": ("low", "a little"),
    "happy": ("happily",),
    "sad": ("sadly",),
    "angry": ("angrily",),
    "old": ("like an old person",),
}
_EACH: Final = 4
MEANINGS: Final = (*_DOES, *(how for how in _HOW if how))
"""What a sentence can say: one action each, and how."""


class Sentence(NamedTuple):
    """Words and the indices into `MEANINGS` of what they say."""

    words: str
    says: tuple[int, ...]


def sentences() -> list[Sentence]:
    """The same ones each time: every phrase alone and in a few ways, under changing names for who acts."""
    hows = [(how, phrase) for how, phrases in _HOW.items() for phrase in phrases]
    made: list[Sentence] = []
    for action, phrases in _DOES.items():
        for phrase in phrases:
            for j in range(_EACH):
                how, manner = hows[0 if j == 0 else (7 * len(made) + j) % len(hows)]
                who = _WHO[len(made) % len(_WHO)]
                said = [MEANINGS.index(part) for part in (action, how) if part]
                made.append(Sentence(f"{who} {phrase} {manner}".strip(), tuple(said)))
    return made
