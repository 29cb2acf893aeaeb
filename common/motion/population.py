"""Procedural people: populations, their persons, and synthetic motions with known ground truth.

Everything about a person follows from (population, seed, index) alone. The seeds are public: this
is synthetic data, not privacy noise.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.actions import perform
from common.motion.anthropometry import Body, Floats, build_bodies
from common.motion.forward import BENDING, SHOULDER, Pose, joints
from common.motion.gait import build_stride, match_speed, pose_gait
from common.motion.recording import Recording
from common.motion.skeleton import FRAME_RATE, PARENTS
from common.motion.style import STYLE_AXES, Motions, gait_of, style_slice

ACTIONS: Final[tuple[str, ...]] = ("walk", "run", "squat", "jump", "wave", "kick")
"""Labels of the synthetic motions."""

_PEOPLE_AT_ONCE = 128
_MEASURES = 8
_CHANCES = 96
_LATENTS = 3
_LATENT_SHARE = 0.3
_MIRROR: Final = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20])


@dataclass(frozen=True, kw_only=True)
class Population:
    """Distribution of the traits of people.

    Statures and their deviation in metres, speeds in m/s. `style_scale` multiplies the deviation
    of every style trait between people; `style_shift` moves the means, in deviations; `axes_seed`
    picks the latent axes along which style traits vary together. `clip_jitter` is the deviation
    between motions of one person as a share of that between people. `action_mix` weighs `ACTIONS`.
    """

    name: str
    stature: tuple[float, float] = (1.76, 1.63)
    stature_sd: float = 0.068
    width_sd: float = 0.055
    ratio_sd: float = 0.025
    walk_speed: tuple[float, float] = (1.30, 0.15)
    run_speed: tuple[float, float] = (2.95, 0.35)
    left_share: float = 0.10
    style_scale: float = 0.8
    style_shift: tuple[tuple[str, float], ...] = ()
    axes_seed: int = 1
    clip_jitter: float = 1.1
    action_mix: tuple[float, ...] = field(default=(1.0,) * len(ACTIONS))


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
    style_scale=0.5,
    style_shift=(("amplitude", -0.8), ("tempo", 0.6), ("toe_out", -0.5), ("squat_depth", -0.8),
                 ("jump_height", -0.8), ("wave_abduction", 0.7), ("kick_hip", -0.5)),
    axes_seed=2,
)  # fmt: skip
"""People anyone may look at, for pre-training: shorter, slower, stiffer and more alike."""


@dataclass(frozen=True, eq=False)
class People:
    """Ground truth of P people: the arrays are `[P]`, `style` `[P, STYLE_AXES]`.

    `walk_ratio` is step length over cadence, m/(steps/min); speeds in m/s, stature in metres.
    """

    body: Body
    male: NDArray[np.bool_]
    stature: Floats
    walk_speed: Floats
    run_speed: Floats
    walk_ratio: Floats
    girth: Floats
    left: NDArray[np.bool_]
    style: Floats


def _stream(population: Population, seed: int, index: int) -> np.random.Generator:
    tag = zlib.crc32(population.name.encode())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((tag, seed, index))))


def _axes(seed: int) -> Floats:
    axes = np.random.default_rng(seed).standard_normal((_LATENTS, STYLE_AXES))
    return np.asarray(axes / np.linalg.norm(axes, axis=0))


def _people(population: Population, normal: Floats, uniform: Floats) -> People:
    """People from standard draws `[P, measures + latents + style]` and uniforms `[P, 2]`."""
    measures = np.clip(normal[:, :_MEASURES], -3.0, 3.0)
    latent = normal[:, _MEASURES : _MEASURES + _LATENTS]
    own = normal[:, _MEASURES + _LATENTS :]
    style = np.sqrt(1 - _LATENT_SHARE) * own + np.sqrt(_LATENT_SHARE) * latent @ _axes(population.axes_seed)
    style = population.style_scale * style
    for name, shift in population.style_shift:
        style[:, style_slice(name)] += shift
    male = uniform[:, 0] < 0.5
    stature = np.where(male, *population.stature) + population.stature_sd * measures[:, 0]
    ratio = population.ratio_sd
    body = build_bodies(
        stature, male, 1 + ratio * measures[:, 1], 1 + ratio * measures[:, 2],
        1 + population.width_sd * measures[:, 3],
    )  # fmt: skip
    mean, deviation = population.walk_speed
    run_mean, run_deviation = population.run_speed
    ratio_mean = np.where(male, 0.0064, 0.0060) * stature / np.where(male, 1.76, 1.63)
    # Dynamic similarity (Froude): comfortable speeds grow with the root of leg length.
    reach = np.sqrt(stature * (1 + ratio * measures[:, 1]) / 1.70)
    return People(
        body=body,
        male=male,
        stature=stature,
        walk_speed=np.clip(reach * (mean + deviation * measures[:, 4]), 0.8, 1.9),
        run_speed=np.clip(
            reach**1.5 * (run_mean + run_deviation * (0.4 * measures[:, 4] + 0.9 * measures[:, 5])), 2.2, 4.2
        ),
        walk_ratio=ratio_mean * np.exp(0.05 * measures[:, 6]),
        girth=np.deg2rad(np.clip(1.5 + 2.0 * measures[:, 7], -1.0, 8.0)),
        left=uniform[:, 1] < population.left_share,
        style=style,
    )


def _choose(population: Population, rng: np.random.Generator, motions: int) -> list[str]:
    """Labels of one person's motions: all actions in random order, again and again, walking first."""
    weights = np.array(population.action_mix, dtype=np.float64)
    names: list[str] = []
    while len(names) < motions:
        keys = rng.exponential(size=len(ACTIONS)) / np.maximum(weights, 1e-300)
        if not names and weights[0] > 0:
            keys[0] = -1.0
        names += [ACTIONS[i] for i in np.argsort(keys) if weights[i] > 0]
    return names[:motions]


def ground_truth(population: Population, seed: int, indices: Sequence[int]) -> People:
    """The people behind `synthesise`, without their motions."""
    draws = [_draw_person(_stream(population, seed, index)) for index in indices]
    return _people(population, np.array([d[0] for d in draws]), np.array([d[1] for d in draws]))


def _draw_person(rng: np.random.Generator) -> tuple[Floats, Floats]:
    return rng.standard_normal(_MEASURES + _LATENTS + STYLE_AXES), rng.random(2)


def synthesise(
    population: Population, seed: int, indices: Sequence[int], motions: int = 4, frames: int = 61
) -> Iterator[Recording]:
    """Motions of the people with these indices, `motions` each, `frames` at 20 fps.

    Yields person by person, `motions` recordings each: person `p000012`, name `p000012_0_walk`,
    samples float32 `[frames, 22, 3]` in metres. A person's first motion is a walk; the others run
    through the actions in random order. Raises InputError for counts out of range.
    """
    if motions < 1:
        raise InputError(f"motions={motions}: give at least 1 motion a person")
    if frames < 2:
        raise InputError(f"frames={frames}: a motion needs at least 2 frames")
    if seed < 0 or any(index < 0 for index in indices):
        raise InputError("seed and person indices must be 0 or greater")
    if len(population.action_mix) != len(ACTIONS) or not any(w > 0 for w in population.action_mix):
        raise InputError(f"action_mix: give {len(ACTIONS)} weights, one above 0 ({', '.join(ACTIONS)})")
    return _batches(population, seed, indices, motions, frames)


def _batches(
    population: Population, seed: int, indices: Sequence[int], motions: int, frames: int
) -> Iterator[Recording]:
    for first in range(0, len(indices), _PEOPLE_AT_ONCE):
        yield from _batch(population, seed, indices[first : first + _PEOPLE_AT_ONCE], motions, frames)


def _batch(
    population: Population, seed: int, indices: Sequence[int], motions: int, frames: int
) -> Iterator[Recording]:
    streams = [_stream(population, seed, index) for index in indices]
    draws = [_draw_person(rng) for rng in streams]
    people = _people(population, np.array([d[0] for d in draws]), np.array([d[1] for d in draws]))
    labels = np.array([_choose(population, rng, motions) for rng in streams])
    jitter = np.array([rng.standard_normal((motions, STYLE_AXES + 2)) for rng in streams])
    chance = np.array([rng.random((motions, _CHANCES)) for rng in streams])
    samples = np.empty((len(indices), motions, frames, len(PARENTS), 3), dtype=np.float32)
    for action in ACTIONS:
        who, which = np.nonzero(labels == action)
        if len(who):
            chosen = _motions(population, people, who, jitter[who, which], chance[who, which])
            samples[who, which] = _perform(action, chosen, frames)
    for row, index in enumerate(indices):
        person = f"p{index:06d}"
        for k, label in enumerate(labels[row].tolist()):
            yield Recording(person=person, name=f"{person}_{k}_{label}", label=label, samples=samples[row, k])


def _motions(
    population: Population, people: People, who: NDArray[np.int64], jitter: Floats, chance: Floats
) -> Motions:
    """A person's style with the variation of single motions."""
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
    )


def _perform(action: str, motions: Motions, frames: int) -> NDArray[np.float32]:
    time = np.arange(frames) / FRAME_RATE
    if action in ("walk", "run"):
        pose = _gait_pose(motions, time, action == "run")
    else:
        pose = perform(action, motions, time)
    place = joints(motions.body, _wander(pose, motions, time))
    place[..., (0, 2)] -= place[:, :1, :1, (0, 2)]
    if action not in ("walk", "run"):
        mirrored = place[:, :, _MIRROR] * np.array([-1.0, 1.0, 1.0])
        place = np.where(motions.left[:, None, None, None], mirrored, place)
    return place.astype(np.float32)


def _gait_pose(motions: Motions, time: Floats, running: bool) -> Pose:
    gait = match_speed(gait_of(motions, running), motions.body)
    stride = build_stride(gait, motions.body)
    # Stride times vary by some 2 %: a slow drift of the phase that leaves the mean speed alone.
    start, turn = motions.chance[:, :1], 2 * np.pi * motions.chance[:, 1:2]
    drift = 0.008 * (np.sin(2 * np.pi * 0.4 * time + turn) - np.sin(turn))
    return pose_gait(gait, motions.body, stride, start + time / gait.stride_time[:, None] + drift)


def _wander(pose: Pose, motions: Motions, time: Floats) -> Pose:
    """Slow 1/f wander of trunk, head and arms, some tenths of a degree."""
    phases = 2 * np.pi * motions.chance[:, 12 : 12 + 78].reshape(len(motions.stature), 13, 6)
    rates = 0.15 * 2.0 ** np.arange(6)
    waves = np.sin(2 * np.pi * rates * time[:, None] + phases[:, :, None])
    wander = np.deg2rad(0.45) * (waves * 2.0 ** (-0.5 * np.arange(6))).sum(axis=-1)
    core, sides = pose.core.copy(), pose.sides.copy()
    core[..., BENDING - 1 :] += np.moveaxis(wander[:, :5], 1, 2)
    sides[..., SHOULDER:] += np.moveaxis(wander[:, 5:].reshape(-1, 2, 4, len(time)), 3, 1)
    return replace(pose, core=core, sides=sides)
