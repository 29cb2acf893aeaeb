"""Who procedural people are: populations, their persons, and the traits behind every motion.

Everything about a person follows from (population, seed, index) alone. The seeds are public: this
is synthetic data, not privacy noise.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.anthropometry import Body, Floats, build_bodies
from common.motion.gait import run_cadence, walk_cadence
from common.motion.style import STYLE_AXES, STYLE_NAMES, style_slice

ACTIONS: Final[tuple[str, ...]] = (
    "walk", "run", "squat", "jump", "wave", "kick",
    "sit", "stand", "seated", "turn", "punch", "reach", "pick_up",
)  # fmt: skip
"""Labels of the synthetic motions: a public vocabulary, whatever a population performs of it."""
BASIC_ACTIONS: Final = ACTIONS[:6]
"""What people perform unless a population says otherwise."""

_MEASURES = 8
_LATENTS = 3
_LATENT_SHARE = 0.3
NORMALS: Final = _MEASURES + _LATENTS + STYLE_AXES
UNIFORMS: Final = 2
"""Random numbers behind one person."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Distribution of the traits of people.

    Statures and their deviation in metres, speeds in m/s. `style_scale` multiplies the deviation
    of every style trait between people; `style_shift` moves the means, in deviations; `axes_seed`
    picks the latent axes along which style traits vary together. `clip_jitter` is the deviation
    between motions of one person as a share of that between people. `actions` are what people
    perform: each in turn, or, with `action_mix`, drawn by these weights. `turning` is the share of
    walks and runs that follow a curve.
    """

    name: str
    stature: tuple[float, float] = (1.76, 1.63)
    stature_sd: float = 0.068
    width_sd: float = 0.055
    ratio_sd: float = 0.025
    walk_speed: tuple[float, float] = (1.30, 0.15)
    run_speed: tuple[float, float] = (2.95, 0.35)
    left_share: float = 0.10
    style_scale: float = 0.45
    style_shift: tuple[tuple[str, float], ...] = ()
    axes_seed: int = 1
    clip_jitter: float = 3.0
    actions: tuple[str, ...] = BASIC_ACTIONS
    action_mix: tuple[float, ...] = ()
    turning: float = 0.0

    def check(self) -> None:
        """Raise InputError where actions or their mix make no sense."""
        if not self.actions or set(self.actions) - set(ACTIONS):
            raise InputError(
                f"actions {', '.join(self.actions) or '(none)'}: choose from {', '.join(ACTIONS)}"
            )
        mix = self.action_mix
        if mix and (len(mix) != len(self.actions) or min(mix) < 0 or sum(mix) <= 0):
            raise InputError(
                f"action_mix: give {len(self.actions)} weights, one above 0 ({', '.join(self.actions)})"
            )


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


def stream(population: Population, seed: int, index: int) -> np.random.Generator:
    """The person's own randomness: first traits, then motions."""
    tag = zlib.crc32(population.name.encode())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((tag, seed, index))))


def _axes(seed: int) -> Floats:
    axes = np.random.default_rng(seed).standard_normal((_LATENTS, STYLE_AXES))
    return np.asarray(axes / np.linalg.norm(axes, axis=0))


def draw_people(population: Population, streams: Sequence[np.random.Generator]) -> People:
    """The persons at the start of these streams."""
    draws = [(rng.standard_normal(NORMALS), rng.random(UNIFORMS)) for rng in streams]
    return people_of(population, np.array([d[0] for d in draws]), np.array([d[1] for d in draws]))


def people_of(population: Population, normal: Floats, uniform: Floats) -> People:
    """The persons behind standard-normal draws `[P, NORMALS]` and uniform ones `[P, UNIFORMS]`."""
    measures = np.clip(normal[:, :_MEASURES], -3.0, 3.0)
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
        style=_styles(population, normal[:, _MEASURES:]),
    )


def _styles(population: Population, normal: Floats) -> Floats:
    """Style traits `[P, STYLE_AXES]`: part of each is shared with others along latent axes."""
    latent, own = normal[:, :_LATENTS], normal[:, _LATENTS:]
    style = np.sqrt(1 - _LATENT_SHARE) * own + np.sqrt(_LATENT_SHARE) * latent @ _axes(population.axes_seed)
    style = population.style_scale * style
    for name, shift in population.style_shift:
        style[:, style_slice(name)] += shift
    return np.asarray(style)


def ground_truth(population: Population, seed: int, indices: Sequence[int]) -> People:
    """The people behind `synthesise`, without their motions."""
    return draw_people(population, [stream(population, seed, index) for index in indices])


def traits(population: Population, seed: int, indices: Sequence[int]) -> dict[str, NDArray[np.generic]]:
    """The ground truth of these people as named columns `[P]`: what an attack may try to find out.

    Lengths in metres, speeds in m/s, cadences in steps/min, girth (extra abduction of the arms) in
    degrees; `leg_ratio` is leg over stature; `style_*` are in the population's standard deviations.
    """
    people = ground_truth(population, seed, indices)
    body = people.body
    table: dict[str, NDArray[np.generic]] = {
        "person": np.array([f"p{index:06d}" for index in indices]),
        "sex": np.where(people.male, "male", "female"),
        "handedness": np.where(people.left, "left", "right"),
        "stature": people.stature,
        "leg_ratio": body.leg / people.stature,
        "arm_ratio": -(body.offsets[:, 18, 1] + body.offsets[:, 20, 1]) / people.stature,
        "hip_width": 2 * body.offsets[:, 1, 0],
        "shoulder_width": 2 * (body.offsets[:, 13, 0] + body.offsets[:, 16, 0]),
        "girth": np.rad2deg(people.girth),
        "walk_speed": people.walk_speed,
        "walk_cadence": walk_cadence(people.walk_speed, people.walk_ratio),
        "run_speed": people.run_speed,
        "run_cadence": run_cadence(people.run_speed),
    }
    return table | {f"style_{name}": people.style[:, axis] for axis, name in enumerate(STYLE_NAMES)}
