"""Candidates made in public, voted on in private, varied in public: no gradient, a few rounds.

Lin et al., "Differentially private synthetic data via foundation model APIs" (ICLR 2024), with the
votes of persons (their user-level version). The server broadcasts n candidates as latents; every motion
of a person votes for the nearest one of its own label, and the person's histogram h is divided by its
length: u = h / |h|, so that whoever has many motions spreads votes and has no more weight. The server
subtracts H deviations of the noise, drops what is negative, weighs by what is left a crowd made as the
candidates were, and varies the next candidates from it. After the last round the shared denoiser is
trained on the weighted crowd.

Not as in the paper: the weight of what is nearest to candidate j is p_j / q_j, with q_j the crowd's own
votes, since in many dimensions a few candidates near the middle are nearest to nearly everybody, and plain
votes shrink the variance round by round; labels have fixed shares of the candidates, so that noise cannot
empty one; there may be procedural people in place of a foundation model (common/generator/candidates.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from common.errors import InputError
from common.generator.assets import under
from common.generator.candidates import Denoised, Learnt, Performed, Prior, Source, begin
from common.generator.design import choice, number
from common.generator.fit import Draw, FittedGenerator, resampled
from common.generator.generator import Generator
from common.method import Prospect, PublicState, UserBatch, UserRandom, Usual, VectorMethod, digest_arrays
from common.vector import Vector

_AT_ONCE = 1024  # of a crowd, beside all candidates
_OWN = frozenset(
    ("motions", "candidates", "siblings", "source", "spread", "degree", "last_degree", "threshold")
)


@dataclass(frozen=True, kw_only=True)
class PrivateEvolution(FittedGenerator, VectorMethod):
    """Votes on `candidates` n, from which the next ones are varied.

    `motions`: sequences of one person that vote, at most. `siblings`: of the public crowd that weighs the
    votes, for each candidate and with it. `source`: where candidates come from; `auto`
    is `base` (the pre-trained generator) where a run starts from one, else `people` (procedural ones)
    for skeletons and `prior` (the codec's Gaussian) for sensors. `spread`: factor on the deviations of
    procedural people. `degree`, `last_degree`: share of a candidate's deviation that a variation draws
    anew, after the first round and before the last. `threshold`: H, in deviations of the noise.
    """

    name: ClassVar[str] = "private_evolution"
    training: ClassVar[frozenset[str]] = FittedGenerator.training | _OWN | {"total_rounds"}
    usual: ClassVar[Usual] = Usual(rounds=1, sampling_rate=1.0, clip_norm=1.0)

    prospect: ClassVar[Prospect] = Prospect(least=1.2, most=1.0, half=0.08)

    motions: int = number(16, 1, 1024)
    candidates: int = number(400, 2, 20_000)
    source: str = choice("auto", "auto", "base", "people", "prior")
    spread: float = number(2.0, 0.1, 10.0)
    degree: float = number(0.8, 0.01, 0.99)
    last_degree: float = number(0.4, 0.01, 0.99)
    threshold: float = number(1.0, 0.0, 10.0)
    siblings: int = number(4, 1, 256)
    total_rounds: int = number(1, 1, 10_000_000)

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
        groups = (len(self._prior), codes.shape[1])
        arrays = {f"denoiser/{name}": value for name, value in self.start(seed).items()}
        arrays |= {"codes": codes.clone(), "candidates": latents.clone(), "parents": codes.clone()}
        arrays |= {"mean": torch.zeros(groups), "deviation": torch.ones(groups)}
        return PublicState(0, {**arrays, "seed": torch.tensor(seed)})

    def public_draw(self, latents: Tensor, labels: Tensor, seed: int) -> Draw:
        """Of procedural people, the crowd before anybody has voted."""
        if not isinstance(self._source, Performed):
            return super().public_draw(latents, labels, seed)
        _, crowd = self._crowd(self.init(seed))
        return resampled(crowd, self._crowd_labels, self._weights(crowd, torch.zeros(self.dimension), 0.0))

    @cached_property
    def _crowd_labels(self) -> Tensor:
        """Labels of the crowd `[siblings * n]`: the candidates first, then their siblings."""
        return self._labels.repeat(self.siblings)

    def broadcast(self, state: PublicState) -> PublicState:
        return PublicState(state.round, {"candidates": state.arrays["candidates"]})

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return {"candidates": state.arrays["candidates"]}

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        return {"latents": users.latents, "labels": users.condition.labels, "mask": users.mask}

    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        x, mask = examples["latents"], examples["mask"]
        nearest = self._nearest(x[mask], examples["labels"][mask], parameters["candidates"])
        votes = torch.zeros(*mask.shape, self.candidates + 1, device=x.device)
        votes[mask] = one_hot(nearest, self.candidates + 1).to(votes.dtype)
        histogram = votes.sum(dim=1)[:, :-1]
        # A motion that is not a number votes for nobody, and takes its person's other votes with it.
        histogram = histogram + torch.where(mask[..., None], 0.0 * x, 0.0).sum(dim=(1, 2))[:, None]
        return histogram / histogram.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1.0)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        codes, latents = self._crowd(state)
        weights = self._weights(latents, mean, noise)
        seed, done = int(state.arrays["seed"]), state.round + 1
        if done >= self.total_rounds:
            draw = resampled(latents, self._crowd_labels, weights)
            found = self.fitted(draw, under("denoiser/", state.arrays), seed)
            arrays = {f"denoiser/{name}": value for name, value in found.items()}
            return PublicState(done, {**state.arrays, **arrays})
        mean, deviation = self._learnt(codes, weights)
        parents = codes[self._parents(weights, _random(seed, done, "parents"))]
        arrays = {**state.arrays, "parents": parents, "mean": mean, "deviation": deviation}
        own, shown = self._made(PublicState(done, arrays), 1, "candidates")
        return PublicState(done, {**arrays, "codes": own, "candidates": shown})

    def _crowd(self, state: PublicState) -> tuple[Tensor, Tensor]:
        """Codes and latents of the candidates and their siblings, all drawn alike from what is public."""
        codes, latents = self._made(state, self.siblings - 1, "siblings")
        return torch.cat([state.arrays["codes"], codes]), torch.cat([state.arrays["candidates"], latents])

    def _made(self, state: PublicState, times: int, purpose: str) -> tuple[Tensor, Tensor]:
        """Codes and latents of variations of all parents, `times` each; before any vote, new ones."""
        random = _random(int(state.arrays["seed"]), state.round, purpose)
        labels = self._labels.repeat(times)
        if state.round == 0:
            codes = self._source.begun(labels, random)
        else:
            share = min((state.round - 1) / max(self.total_rounds - 2, 1), 1.0)
            degree = float(self.degree ** (1 - share) * self.last_degree**share)
            learnt = state.arrays["mean"][labels], state.arrays["deviation"][labels]
            parents = state.arrays["parents"].repeat(times, 1)
            codes = self._source.varied(parents, labels, learnt, degree, random)
        return codes, self._source.latents(codes, labels)

    def _learnt(self, codes: Tensor, weights: Tensor) -> Learnt:
        """Means and deviations of the weighted crowd's codes under each label, `[labels + 1, size]` each."""
        mean = torch.zeros(len(self._prior), codes.shape[1])
        deviation = torch.ones_like(mean)
        for label in torch.unique(self._labels).tolist():
            rows = self._crowd_labels == label
            shares = (weights[rows] / weights[rows].sum()).float()
            mean[label] = shares @ codes[rows]
            deviation[label] = (shares @ (codes[rows] - mean[label]).square()).sqrt()
        return mean, deviation

    def _weights(self, crowd: Tensor, mean: Vector, noise: float) -> Tensor:
        """Weights of the crowd `[siblings * n]`: each label has its public share of them.

        What is nearest to candidate j has weight p_j / q_j, with p_j the share of j in the votes of people
        and q_j its share in those of the crowd itself.
        """
        votes = (mean - self.threshold * noise).clamp_min(0.0).double()
        parts = zip(crowd.split(_AT_ONCE), self._crowd_labels.split(_AT_ONCE), strict=True)
        nearest = torch.cat([self._nearest(*part, crowd[: self.candidates]) for part in parts])
        own = torch.bincount(nearest, minlength=self.candidates).double()
        weights = (votes / own.clamp_min(1.0))[nearest]
        for label in torch.unique(self._labels).tolist():
            rows = self._crowd_labels == label
            total = weights[rows].sum()
            even = torch.full_like(weights[rows], 1 / int(rows.sum()))
            weights[rows] = float(self._prior[label]) * (weights[rows] / total if float(total) > 0 else even)
        return weights

    def _nearest(self, x: Tensor, labels: Tensor, candidates: Tensor) -> Tensor:
        """The nearest candidate of the own label (of any label, for none), `[k]`; n where there is none."""
        names = self._labels.to(x.device)
        apart = _squares(x, candidates)
        barred = (labels[:, None] != names) & (labels[:, None] < len(self.assets.codec.labels))
        apart = torch.where(barred, torch.inf, apart)
        least = apart.amin(dim=1, keepdim=True)
        places = torch.arange(len(names), device=x.device)
        return torch.where((apart == least) & (least < torch.inf), places, len(names)).amin(dim=1)

    def _parents(self, weights: Tensor, random: torch.Generator) -> Tensor:
        """Rows of the crowd from which the next candidates vary, `[n]`, within labels by weight.

        Systematic: each is drawn as often as its share says, to within one.
        """
        parents = torch.arange(self.candidates)
        for label in torch.unique(self._labels).tolist():
            places = torch.nonzero(self._labels == label)[:, 0]
            rows = torch.nonzero(self._crowd_labels == label)[:, 0]
            edges = torch.cumsum(weights[rows], dim=0)
            start = torch.rand(1, generator=random, dtype=torch.float64)
            points = (torch.arange(len(places)) + start) / len(places) * edges[-1]
            parents[places] = rows[torch.searchsorted(edges, points, right=True).clamp_max(len(rows) - 1)]
        return parents

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
