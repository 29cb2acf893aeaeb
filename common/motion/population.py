"""Procedural people in motion: named populations, and synthetic motions with known ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.anthropometry import Floats
from common.motion.captions import CAPTION_DRAWS, Facts, describe
from common.motion.people import (
    ACTIONS,
    BASIC_ACTIONS,
    People,
    Population,
    draw_people,
    ground_truth,
    stream,
    traits,
)
from common.motion.performance import perform
from common.motion.recording import Recording
from common.motion.skeleton import FRAME_RATE, JOINTS
from common.motion.style import STYLE_AXES, Motions

__all__ = [
    "ACTIONS", "BASIC_ACTIONS", "POPULATIONS", "PRIVATE", "PRIVATE_ALL", "PUBLIC", "PUBLIC_ALL",
    "People", "Population", "ground_truth", "performances", "synthesise", "traits",
]  # fmt: skip

_PEOPLE_AT_ONCE = 128
_FRAMES_AT_ONCE = 128 * 4 * 64
CHANCES: Final = 108 + CAPTION_DRAWS
JITTER: Final = STYLE_AXES + 2
"""Random numbers behind one motion: uniform ones, and standard-normal ones."""

PRIVATE: Final = Population(name="private")
"""The people of the simulated sites."""
PUBLIC: Final = Population(
    name="public",
    stature=(1.72, 1.60),
    stature_sd=0.05,
    width_sd=0.04,
    ratio_sd=0.015,
    walk_speed=(1.15, 0.12),
    run_speed=(2.7, 0.25),
    left_share=0.05,
    style_scale=0.25,
    style_shift=(("amplitude", -0.8), ("tempo", 0.6), ("toe_out", -0.5), ("squat_depth", -0.8),
                 ("jump_height", -0.8), ("wave_abduction", 0.7), ("kick_hip", -0.5)),
    axes_seed=2,
)  # fmt: skip
"""People anyone may look at, for pre-training: shorter, slower, stiffer and more alike."""
PRIVATE_ALL: Final = replace(PRIVATE, actions=ACTIONS, turning=0.5)
"""The people of the simulated sites, performing everything; half of their walks and runs are curved."""
PUBLIC_ALL: Final = replace(PUBLIC, actions=ACTIONS, turning=0.5)
"""The public people, performing everything."""
POPULATIONS: Final[dict[str, Population]] = {
    "private": PRIVATE, "public": PUBLIC, "private-all": PRIVATE_ALL, "public-all": PUBLIC_ALL,
}  # fmt: skip
"""Populations by the name they have on the command line."""


def synthesise(
    population: Population,
    seed: int,
    indices: Sequence[int],
    motions: int = 4,
    frames: int = 61,
    rate: float = FRAME_RATE,
) -> Iterator[Recording]:
    """Motions of the people with these indices, `motions` each, `frames` at `rate` frames a second.

    Yields person by person, `motions` recordings each: person `p000012`, name `p000012_0_walk`,
    samples float32 `[frames, 22, 3]` in metres. Where people walk at all, a person's first motion
    is a walk; the others run through the actions in random order, or are drawn by `action_mix`.
    Raises InputError for counts out of range.
    """
    if motions < 1:
        raise InputError(f"motions={motions}: give at least 1 motion a person")
    if frames < 2:
        raise InputError(f"frames={frames}: a motion needs at least 2 frames")
    if seed < 0 or any(index < 0 for index in indices):
        raise InputError("seed and person indices must be 0 or greater")
    population.check()
    made = performances(population, seed, indices, motions, frames, rate)
    return (recording for recording, _ in made)


def performances(
    population: Population, seed: int, indices: Sequence[int], motions: int, frames: int, rate: float
) -> Iterator[tuple[Recording, Facts]]:
    """The recordings of `synthesise`, each with what is true of it: speeds, sizes, sides, times."""
    # Longer motions in smaller crowds: memory stays the same, and nobody depends on the crowd.
    crowd = max(1, min(_PEOPLE_AT_ONCE, _FRAMES_AT_ONCE // (frames * motions)))
    time = np.arange(frames) / rate
    for first in range(0, len(indices), crowd):
        yield from _batch(population, seed, indices[first : first + crowd], motions, time)


def _batch(
    population: Population, seed: int, indices: Sequence[int], motions: int, time: Floats
) -> Iterator[tuple[Recording, Facts]]:
    streams = [stream(population, seed, index) for index in indices]
    people = draw_people(population, streams)
    labels = np.array([_choose(population, rng, motions) for rng in streams])
    jitter = np.array([rng.standard_normal((motions, JITTER)) for rng in streams])
    chance = np.array([rng.random((motions, CHANCES)) for rng in streams])
    samples = np.empty((len(indices), motions, len(time), JOINTS, 3), dtype=np.float32)
    known: dict[tuple[int, int], Facts] = {}
    for action in dict.fromkeys(population.actions):
        who, which = np.nonzero(labels == action)
        if not len(who):
            continue
        chosen = motions_of(population, people, who, jitter[who, which], chance[who, which])
        samples[who, which], facts = perform(action, chosen, time)
        names = tuple(facts)
        values = np.stack([facts[name] for name in names], axis=1).tolist()
        for place, row in zip(zip(who.tolist(), which.tolist(), strict=True), values, strict=True):
            known[place] = dict(zip(names, row, strict=True))
    for row, index in enumerate(indices):
        person = f"p{index:06d}"
        for k, label in enumerate(labels[row].tolist()):
            draws = chance[row, k, -CAPTION_DRAWS:].tolist()
            captions = describe(label, known[row, k], bool(people.male[row]), draws)
            name, motion = f"{person}_{k}_{label}", samples[row, k]
            yield (
                Recording(person=person, name=name, label=label, samples=motion, captions=captions),
                known[row, k],
            )


def _choose(population: Population, rng: np.random.Generator, motions: int) -> list[str]:
    """Labels of one person's motions: all actions in random order, again and again, or by weight."""
    actions = population.actions
    walks = actions[0] == "walk" and (not population.action_mix or population.action_mix[0] > 0)
    if population.action_mix:
        weights = np.array(population.action_mix) / sum(population.action_mix)
        drawn = [actions[i] for i in rng.choice(len(actions), size=motions, p=weights)]
        return ["walk", *drawn[1:]] if walks else drawn
    names: list[str] = []
    while len(names) < motions:
        keys = rng.exponential(size=len(actions))
        if not names and walks:
            keys[0] = -1.0
        names += [actions[i] for i in np.argsort(keys)]
    return names[:motions]


def motions_of(
    population: Population, people: People, who: NDArray[np.int64], jitter: Floats, chance: Floats
) -> Motions:
    """Motions of people `who` `[n]`: their styles with the variation of single motions, `[n, JITTER]`."""
    size = population.clip_jitter * population.style_scale
    speeds = np.stack([people.walk_speed, people.run_speed], axis=1)[who]
    return Motions(
        body=people.body.take(who),
        stature=people.stature[who],
        style=people.style[who] + size * jitter[:, 2:],
        preferred=speeds * np.exp(0.06 * size * np.clip(jitter[:, :2], -3, 3)),
        walk_ratio=people.walk_ratio[who],
        girth=people.girth[who],
        left=people.left[who],
        chance=chance,
        turning=population.turning,
    )
