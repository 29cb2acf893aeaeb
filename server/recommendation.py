"""Which method suits, from public facts alone: how much noise each would carry, and what it makes of it.

The sizing rule: a mean over U units whose contributions have norm at most C carries, after any schedule that
spends (epsilon, delta), noise of norm kappa C with kappa = sigma_1 sqrt(d) / U, where d is the contribution's
length and sigma_1 the noise multiplier of one release by everybody. A method says what it makes of so much
noise in one place, its `Prospect`; nothing here knows a method by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from scipy.optimize import brentq
from scipy.special import log_ndtr

from common.errors import InputError
from common.event import Trust
from common.generator.assets import Assets
from common.generator.codec import Codec
from common.generator.pca_codec import PcaCodec
from common.generator.scale import Scale
from common.generator.sensor_codec import SensorCodec
from common.method import Method, Prospect
from common.methods import NAMES, build
from common.motion.recording import SKELETON
from common.motion.sensors import SENSOR
from server.budget import percent, spread, verdict
from server.planning import fewest

MODALITIES: Final = ("skeleton", "sensor")
LATENT: Final = 32
"""Numbers in which the default codecs describe a motion."""
LABELS: Final = 6
"""Actions of the demo's people."""
_MOST_LABELS: Final = 1000
_NO_GAIN: Final = 0.9
"""From so much of public only's distance on, what is gained is within what repeats of a run differ by."""
_CLOSE: Final = 0.05
"""Prospects so near to each other say nothing of which is better."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is declared before anything of anybody is read."""

    units: int
    epsilon: float
    delta: float
    sites: int
    trust: Trust
    sites_per_person: int = 1
    min_sites: int | None = None
    colluders: int = 1

    @property
    def noise(self) -> float:
        """kappa / sqrt(d): noise over signal of a method with one coordinate."""
        least = self.min_sites or fewest(self.trust, self.sites)
        k = self.sites_per_person
        meeting = math.sqrt(k) if self.trust == "local" else k
        more = spread(self.trust, self.sites, least - self.colluders)
        return more * meeting * one_release(self.epsilon, self.delta) / self.units


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method with what is expected of it: `left` of public only's distance to people, 1 for no gain."""

    method: str
    dimension: int
    noise: float
    left: float
    measured: bool

    @property
    def line(self) -> str:
        """Size, noise and outlook."""
        outlook = "no better than public-only" if self.measured else "not measured yet"
        if self.left < _NO_GAIN:
            outlook = f"about {percent(self.left)} of public-only's distance to people left"
        return (
            f"{self.method}: {self.dimension:,} numbers released, noise {percent(self.noise)} of the signal"
            f" ({verdict(self.noise)}), {outlook}"
        )


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Candidates, the best first; and why other methods are none."""

    candidates: tuple[Candidate, ...]
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.candidates[0].method

    @property
    def why(self) -> str:
        """One line."""
        best, *others = self.candidates
        if best.left >= _NO_GAIN:
            return (
                f"no method is expected to beat public-only; {best.method} loses least, at noise"
                f" {percent(best.noise)} of the signal: more people, a larger epsilon or fewer sites help"
            )
        line = f"{best.method}, {_outlook(best)}"
        if others:
            line += f"; next best {others[0].method}, {_outlook(others[0])}"
            if others[0].left - best.left < _CLOSE:
                line += " (too close to call: try both on public people)"
        return line

    def lines(self) -> Iterator[str]:
        """What is recommended, and all that was considered."""
        yield f"recommended: {self.why}"
        for candidate in self.candidates:
            yield f"  {candidate.line}"
        for method, reason in self.unfit.items():
            yield f"  {method}: left out, {reason}"

    def json(self) -> dict[str, Any]:
        found = [{**vars(one), "verdict": verdict(one.noise)} for one in self.candidates]
        return {"method": self.method, "why": self.why, "methods": found, "left_out": dict(self.unfit)}


def _outlook(one: Candidate) -> str:
    return f"{one.dimension:,} numbers under noise {percent(one.noise)}, leaves {percent(one.left)}"


def recommend(facts: Facts, assets: Assets, options: Mapping[str, Any] | None = None) -> Recommendation:
    """All methods on `assets`, the most promising first; `options` are a pre-trained generator's design."""
    found, unfit = [], {}
    for name in NAMES:
        try:
            method = build(name, options or {}, assets)
            found.append(_candidate(method, facts))
        except InputError as error:
            unfit[name] = str(error)
    if not found:
        raise InputError(f"no method takes these settings: {next(iter(unfit.values()))}")
    ranked = sorted(found, key=lambda one: (one.left, one.dimension, one.method))
    return Recommendation(candidates=tuple(ranked), unfit=unfit)


def _candidate(method: Method, facts: Facts) -> Candidate:
    noise = facts.noise * math.sqrt(method.dimension)
    left = method.prospect.left(noise)
    return Candidate(
        method=method.name,
        dimension=method.dimension,
        noise=noise,
        left=left,
        measured=method.prospect != Prospect(),
    )


def stated_assets(modality: str, labels: int, latent: int = LATENT) -> Assets:
    """Assets of the size that the default codecs have, fitted on nothing: to ask methods for their size."""
    if modality not in MODALITIES:
        raise InputError(f"--modality is {modality}: it must be {' or '.join(MODALITIES)}")
    if not 0 <= labels <= _MOST_LABELS:
        raise InputError(f"--labels is {labels}: it must be 0 to {_MOST_LABELS}")
    names = tuple(f"action {number}" for number in range(1, labels + 1))
    return Assets(SensorCodec(SENSOR, names) if modality == "sensor" else _skeleton(names, latent))


def _skeleton(labels: tuple[str, ...], latent: int) -> Codec:
    scale = Scale.fixed(SKELETON)
    width = SKELETON.window * scale.channels
    return PcaCodec(
        labels=labels,
        modality=SKELETON,
        scale=scale,
        middle=torch.zeros(width),
        basis=torch.eye(width, latent),
        spread=torch.ones(latent),
        public_sha256="",
    )


def one_release(epsilon: float, delta: float) -> float:
    """sigma_1: the least noise over sensitivity with which one Gaussian release is (epsilon, delta)-private.

    Balle and Wang (ICML 2018), theorem 8: delta = Phi(1/2s - e s) - exp(e) Phi(-1/2s - e s). 0 for no noise.
    It sizes methods before a plan is made; what a plan charges is the accountant's.
    """
    if math.isinf(epsilon):
        return 0.0

    def excess(log_sigma: float) -> float:
        s = math.exp(log_sigma)
        first = math.exp(log_ndtr(0.5 / s - epsilon * s))
        return first - math.exp(epsilon + log_ndtr(-0.5 / s - epsilon * s)) - delta

    return math.exp(brentq(excess, math.log(1e-3), math.log(1e6)))
