"""Candidates made in public, voted on in private, varied in public: no gradient, a few rounds.

Lin et al., "Differentially private synthetic data via foundation model APIs" (ICLR 2024), with the
votes of persons (their user-level version). The server broadcasts n candidates as latents; every motion
of a person votes for the nearest one of its own label, and the person's histogram h is divided by its
length: u = h / |h|, so that whoever has many motions spreads votes and has no more weight. The server
subtracts H deviations of the noise, drops what is negative, draws the next candidates by what is left
and varies them less and less. After the last round the shared denoiser is trained on the candidates by
their votes, smoothed.

Not as in the paper: labels have fixed shares of the candidates, so that noise cannot empty one; of
several copies of a candidate the first stays as it is, so that a bad variation loses nothing; there may
be procedural people in place of a foundation model (common/generator/candidates.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from common.errors import InputError
from common.generator.assets import under
from common.generator.candidates import Denoised, Performed, Prior, Source, begin
from common.generator.design import choice, number
from common.generator.fit import FittedGenerator
from common.generator.generator import Generator
from common.generator.smoothing import smoothed
from common.method import PublicState, UserBatch, UserRandom, Usual, VectorMethod, digest_arrays
from common.vector import Vector

_OWN = frozenset(
    "motions candidates source spread degree last_degree threshold lookahead kernel total_rounds".split()
)


@dataclass(frozen=True, kw_only=True)
class PrivateEvolution(FittedGenerator, VectorMethod):
    """Votes on `candidates` n, from which the next ones are varied.

    `motions`: sequences of one person that vote, at most. `source`: where candidates come from; `auto`
    is `base` (the pre-trained generator) where a run starts from one, else `people` (procedural ones)
    for skeletons and `prior` (the codec's Gaussian) for sensors. `spread`: factor on the deviations of
    procedural people. `degree`, `last_degree`: share of a candidate's deviation that a variation draws
    anew, after the first round and before the last. `threshold`: H, in deviations of the noise.
    `lookahead`: variations of a candidate whose mean is voted on in its place (0: itself).
    `kernel`: width of the smoothing at the end (common/generator/smoothing.py).
    """

    name: ClassVar[str] = "private_evolution"
    training: ClassVar[frozenset[str]] = FittedGenerator.training | _OWN
    usual: ClassVar[Usual] = Usual(rounds=5, sampling_rate=1.0, clip_norm=1.0)

    motions: int = number(16, 1, 1024)
    candidates: int = number(400, 2, 20_000)
    source: str = choice("auto", "auto", "base", "people", "prior")
    spread: float = number(1.5, 0.1, 10.0)
    degree: float = number(0.6, 0.01, 0.99)
    last_degree: float = number(0.2, 0.01, 0.99)
    threshold: float = number(1.0, 0.0, 10.0)
    lookahead: int = number(0, 0, 64)
    kernel: float = number(0.5, 0.0, 1.0)
    total_rounds: int = number(5, 1, 10_000_000)

    def __post_init__(self) -> None:
        if self.candidates < (needed := int((self._prior > 0).sum())):
            raise InputError(
                f"option 'candidates' of method 'private_evolution' is {self.candidates}: one for each"
                f" label makes at least {needed}"
            )

    @cached_property
    def _prior(self) -> Tensor:
        return self.assets.codec.label_prior()

    @cached_property
    def _labels(self) -> Tensor:
        """Labels of the candidates, `[n]`: one each, the rest by the public prior."""
        first = torch.nonzero(self._prior)[:, 0]
        rest = self.candidates - len(first)
        points = (torch.arange(rest) + 0.5) / max(rest, 1)
        edges = torch.cumsum(self._prior / self._prior.sum(), dim=0)
        more = torch.searchsorted(edges, points, right=True).clamp_max(int(first[-1]))
        return torch.cat([first, more]).sort().values

    @cached_property
    def _source(self) -> Source:
        codec, row = self.assets.codec, self.diffusion.preconditioning
        kind = self.source
        if kind == "auto":
            kind = "base" if self.assets.base else "people" if codec.modality.kind == "skeleton" else "prior"
        if kind == "prior":
            return Prior(codec.latent)
        if kind == "people":
            digest = digest_arrays(codec.arrays(), str(codec.description()))
            return Performed(digest, self.spread, codec)
        if not self.assets.base:
            raise InputError(
                "source = base needs a public generator: make one with fedmotion pretrain, and give"
                " pretrained = PATH"
            )
        return Denoised(codec.latent, row, self._denoised)

    def _denoised(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        condition, base = self.condition_of(labels), self.assets.base
        return self.diffusion.denoised(self.network, base, x, sigma.expand(len(x)), condition)

    @property
    def dimension(self) -> int:
        return len(self._labels)

    def init(self, seed: int) -> PublicState:
        codes, latents = begin(self._source, tuple(self._labels.tolist()), seed)
        arrays = {f"denoiser/{name}": value for name, value in self.start(seed).items()}
        arrays |= {"seed": torch.tensor(seed), "codes": codes.clone(), "latents": latents.clone()}
        return PublicState(0, {**arrays, "shown": self._shown(codes, latents, self.degree, seed, 0)})

    def broadcast(self, state: PublicState) -> PublicState:
        return PublicState(state.round, {"candidates": state.arrays["shown"]})

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return {"candidates": state.arrays["candidates"]}

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        return {"latents": users.latents, "labels": users.condition.labels, "mask": users.mask}

    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        x, mask = examples["latents"], examples["mask"]
        candidates, names = parameters["candidates"], self._labels.to(x.device)
        apart = _squares(x[mask], candidates)
        own = examples["labels"][mask][:, None]
        barred = (own != names) & (own < len(self.assets.codec.labels))
        apart = torch.where(barred, torch.inf, apart)
        places = torch.arange(len(names), device=x.device)
        least = apart.amin(dim=1, keepdim=True)
        found = (apart == least) & (least < torch.inf)
        nearest = torch.where(found, places, len(names)).amin(dim=1)
        votes = torch.zeros(*mask.shape, len(names) + 1, device=x.device)
        votes[mask] = torch.nn.functional.one_hot(nearest, len(names) + 1).to(votes.dtype)
        histogram = votes.sum(dim=1)[:, :-1]
        # A motion that is not a number votes for nobody, and takes its person's other votes with it.
        histogram = histogram + torch.where(mask[..., None], 0.0 * x, 0.0).sum(dim=(1, 2))[:, None]
        return histogram / histogram.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1.0)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        votes = (mean - self.threshold * noise).clamp_min(0.0)
        if state.round + 1 >= self.total_rounds:
            return PublicState(state.round + 1, {**state.arrays, **self._fit(state, votes)})
        seed = int(state.arrays["seed"])
        random = _random(seed, state.round, "resample")
        parents, kept = self._resampled(votes, random)
        codes = state.arrays["codes"][parents]
        degree = self._degree(state.round)
        codes = torch.where(kept[:, None], codes, self._source.varied(codes, self._labels, degree, random))
        latents = self._source.latents(codes, self._labels)
        shown = self._shown(codes, latents, self._degree(state.round + 1), seed, state.round + 1)
        return PublicState(
            state.round + 1, {**state.arrays, "codes": codes, "latents": latents, "shown": shown}
        )

    def _degree(self, done: int) -> float:
        """From `degree` to `last_degree`, by equal factors."""
        share = min(done / max(self.total_rounds - 2, 1), 1.0)
        return float(self.degree ** (1 - share) * self.last_degree**share)

    def _shown(self, codes: Tensor, latents: Tensor, degree: float, seed: int, round: int) -> Tensor:
        """What is voted on in place of each candidate, `[n, latent]`: itself, or the mean of variations."""
        if self.lookahead == 0:
            return latents.clone()
        random, total = _random(seed, round, "lookahead"), torch.zeros_like(latents)
        for _ in range(self.lookahead):
            varied = self._source.varied(codes, self._labels, degree, random)
            total += self._source.latents(varied, self._labels)
        return total / self.lookahead

    def _resampled(self, votes: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of parents `[n]`, within labels and by their votes; and which copy is the first, `[n]`.

        Systematic: a candidate is drawn as often as its share says, to within one. Where a label has
        no votes, its candidates stay.
        """
        parents = torch.arange(len(votes))
        for label in torch.unique(self._labels).tolist():
            rows = torch.nonzero(self._labels == label)[:, 0]
            share = votes[rows].double()
            if float(share.sum()) > 0:
                start = torch.rand(1, generator=random, dtype=torch.float64)
                points = (torch.arange(len(rows)) + start) / len(rows)
                edges = torch.cumsum(share / share.sum(), dim=0)
                last = int(torch.nonzero(share)[-1])
                parents[rows] = rows[torch.searchsorted(edges, points, right=True).clamp_max(last)]
        kept = torch.ones(len(votes), dtype=torch.bool)
        kept[1:] = parents[1:] != parents[:-1]
        return parents, kept

    def _fit(self, state: PublicState, votes: Tensor) -> dict[str, Tensor]:
        latents, seed = state.arrays["latents"], int(state.arrays["seed"])
        draw = smoothed(latents, self._labels, votes, self._prior, self.kernel)
        found = self.fitted(draw, under("denoiser/", state.arrays), seed)
        return {f"denoiser/{name}": value for name, value in found.items()}

    def generator(self, state: PublicState) -> Generator:
        return self.generator_of(under("denoiser/", state.arrays))


def _squares(x: Tensor, candidates: Tensor) -> Tensor:
    """Squared distances of `x` `[k, latent]` to `candidates` `[n, latent]`, `[k, n]`.

    Number by number: a product of matrices would round by how many rows there are, and a person's
    nearest candidate must not depend on who else is there.
    """
    total = x.new_zeros(len(x), len(candidates))
    for own, other in zip(x.T, candidates.T, strict=True):
        total += (own[:, None] - other).square_()
    return total


def _random(seed: int, round: int, purpose: str) -> torch.Generator:
    name = digest_arrays({}, f"{seed}|{round}|{purpose}")
    return torch.Generator().manual_seed(int(name[:15], 16))
