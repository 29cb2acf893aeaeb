"""A small private set of latents, found by matching gradients, and the generator fitted to it.

Chen, Kerkouche and Fritz, "Private set generation with discriminative information" (NeurIPS 2022). A
classifier theta is drawn at random and trained on the synthetic set S alone, so that it is public at
every round. A site answers with the gradient g of a person's mean cross-entropy over own motions of
known label; the server moves S so that theta would have learnt the same from it:
S <- S - rate grad_S sum over layers of (1 - cos(grad_theta L(S), g)). Every `loop` rounds theta starts
anew, and S is to serve many classifiers and not one. After the last round the shared denoiser is trained
on S.

Not as in the paper: theta starts anew in every round unless `loop` says otherwise, since with one that is
taught in between the set ran past people at the same rate (docs/methods/psg.md has the figures); S are
latents of the public codec, held as near as public ones are; S moves by Adam, whose steps do not shrink
with the gradient of a cosine; a round is one matching step (the paper's batches of an outer iteration are
rounds here); and the generator is trained on S smoothed (common/generator/smoothing.py), since on a few
points a denoiser learns the points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from scipy.stats import chi2
from torch import Tensor
from torch.nn.functional import cross_entropy

from common.errors import InputError
from common.generator.adam import ADAM
from common.generator.assets import under
from common.generator.classifier import Classifier
from common.generator.design import number
from common.generator.fit import FittedGenerator
from common.generator.generator import Generator
from common.generator.objective import masked_mean
from common.generator.smoothing import smoothed
from common.method import GradientMethod, Prospect, PublicState, UserBatch, UserRandom, Usual
from common.vector import Layout, Vector

_OWN = frozenset(
    ("motions", "per_label", "hidden", "layers", "set_rate", "inner_rate", "inner_steps", "loop", "kernel")
)
_SET = "set"
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class PSG(FittedGenerator, GradientMethod):
    """Latents that teach a classifier what people's motions would.

    `motions`: sequences of one person a round at most. `per_label`: latents of each label in the set.
    `hidden`, `layers`: width and hidden layers of the classifier. `set_rate`: of Adam on the set, falling to
    zero over `total_rounds` as half a cosine.
    `inner_rate`, `inner_steps`: gradient descent of the classifier on the set after each round. `loop`:
    rounds after which the classifier starts anew. `kernel`: width of the smoothing at the end.
    """

    name: ClassVar[str] = "psg"
    training: ClassVar[frozenset[str]] = FittedGenerator.training | _OWN | {"total_rounds"}
    usual: ClassVar[Usual] = Usual(rounds=200, sampling_rate=0.5, clip_norm=0.5)

    prospect: ClassVar[Prospect] = Prospect(least=0.4, most=1.8, half=0.33)

    motions: int = number(4, 1, 1024)
    per_label: int = number(50, 1, 1000)
    hidden: int = number(32, 1, 2048)
    layers: int = number(1, 0, 8)
    set_rate: float = number(0.1, 1e-7, 10.0)
    inner_rate: float = number(0.1, 1e-7, 10.0)
    inner_steps: int = number(5, 0, 1000)
    loop: int = number(1, 1, 1_000_000)
    kernel: float = number(0.5, 0.0, 1.0)
    total_rounds: int = number(200, 1, 10_000_000)

    def __post_init__(self) -> None:
        if len(self.assets.codec.labels) < 2:
            raise InputError(
                "method psg learns from labels, and the data have fewer than two: choose another method"
            )

    @cached_property
    def classifier(self) -> Classifier:
        codec = self.assets.codec
        return Classifier(latent=codec.latent, labels=len(codec.labels), width=self.hidden, depth=self.layers)

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self._drawn(0, 0))

    @cached_property
    def _labels(self) -> Tensor:
        """Labels of the set, `[labels * per_label]`."""
        return torch.arange(len(self.assets.codec.labels)).repeat_interleave(self.per_label)

    @property
    def dimension(self) -> int:
        return self.layout.dimension

    def _drawn(self, seed: int, round: int) -> dict[str, Tensor]:
        """The classifier that starts in `round`."""
        random = torch.Generator().manual_seed((seed + 1_000_003 * round) % 2**63)
        return self.classifier.init(random)

    def init(self, seed: int) -> PublicState:
        random = torch.Generator().manual_seed(seed)
        start = torch.randn(len(self._labels), self.assets.codec.latent, generator=random)
        return self._state(0, self._drawn(seed, 0), ADAM.start({_SET: start}), self.start(seed), seed)

    @staticmethod
    def _state(
        round: int,
        classifier: Mapping[str, Tensor],
        moved: Mapping[str, Tensor],
        denoiser: Mapping[str, Tensor],
        seed: int,
    ) -> PublicState:
        arrays = {f"classifier/{name}": value for name, value in classifier.items()}
        arrays |= {f"denoiser/{name}": value for name, value in denoiser.items()}
        return PublicState(round, {**arrays, **moved, "seed": torch.tensor(seed)})

    def broadcast(self, state: PublicState) -> PublicState:
        arrays = {f"classifier/{name}": value for name, value in self.parameters(state).items()}
        return PublicState(state.round, arrays)

    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        return under("classifier/", state.arrays)

    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        known = users.mask & (users.condition.labels < len(self.assets.codec.labels))
        return {"latents": users.latents, "labels": users.condition.labels, "mask": known}

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        logits, labels = self.classifier.apply(parameters, examples["latents"]), examples["labels"]
        own = labels.clamp_max(logits.shape[-1] - 1)
        each = logits.logsumexp(dim=-1) - logits.gather(-1, own[..., None])[..., 0]
        return masked_mean(each, examples["mask"])

    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        """None: the classifier learns from the set alone, and a round's releases are averaged."""
        return dict(parameters)

    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        seed, done, theta = int(state.arrays["seed"]), state.round + 1, self.parameters(state)
        points = state.arrays[f"parameters/{_SET}"].clone().requires_grad_()
        distance = self.distance(theta, points, self.layout.unflatten(mean))
        (found,) = torch.autograd.grad(distance, [points])
        arrays = {name: state.arrays[f"{name}/{_SET}"] for name in ("parameters", "ema", "first", "second")}
        before = {f"{name}/{_SET}": value for name, value in arrays.items()}
        moved = ADAM.moved(before, {_SET: found}, done, self._rate(state.round), 0.9)
        moved |= {name: self._near(moved[name]) for name in (f"parameters/{_SET}", f"ema/{_SET}")}
        points = moved[f"parameters/{_SET}"]
        theta = self._drawn(seed, done) if done % self.loop == 0 else self._taught(theta, points)
        denoiser = under("denoiser/", state.arrays)
        if done >= self.total_rounds:
            prior = self.assets.codec.label_prior()
            even = torch.ones(len(points))
            draw = smoothed(moved[f"ema/{_SET}"], self._labels, even, prior, self.kernel)
            denoiser = self.fitted(draw, denoiser, seed)
        return self._state(done, theta, moved, denoiser, seed)

    def _near(self, points: Tensor) -> Tensor:
        """`points` `[n, latent]`, none further out than all but one in a thousand of the prior N(0, I)."""
        furthest = math.sqrt(chi2.ppf(0.999, points.shape[1]))
        held: Tensor = points * (furthest / points.norm(dim=1, keepdim=True)).clamp_max(1.0)
        return held

    def _rate(self, done: int) -> float:
        return self.set_rate * 0.5 * (1 + math.cos(math.pi * min(done / self.total_rounds, 1.0)))

    def distance(self, theta: Mapping[str, Tensor], points: Tensor, gradient: Mapping[str, Tensor]) -> Tensor:
        """The sum over layers, weight and bias together, of 1 - cos, with its way back to `points`."""
        own = self._gradient(theta, points, create_graph=True)
        total = points.new_zeros(())
        for layer in range(self.layers + 1):
            names = (f"layer{layer}.weight", f"layer{layer}.bias")
            a, b = (torch.cat([part[name].flatten() for name in names]) for part in (own, gradient))
            total = total + 1 - a @ b / (a.norm() * b.norm()).clamp_min(_TINY)
        return total

    def _taught(self, theta: Mapping[str, Tensor], points: Tensor) -> dict[str, Tensor]:
        """The classifier after its steps on the set."""
        for _ in range(self.inner_steps):
            found = self._gradient(theta, points, create_graph=False)
            theta = {name: value - self.inner_rate * found[name] for name, value in theta.items()}
        return dict(theta)

    def _gradient(
        self, theta: Mapping[str, Tensor], points: Tensor, *, create_graph: bool
    ) -> dict[str, Tensor]:
        """The gradient in theta of the mean cross-entropy over the set."""
        moving = {name: value.detach().requires_grad_() for name, value in theta.items()}
        loss = cross_entropy(self.classifier.apply(moving, points), self._labels)
        found = torch.autograd.grad(loss, list(moving.values()), create_graph=create_graph)
        return dict(zip(moving, found, strict=True))

    def generator(self, state: PublicState) -> Generator:
        return self.generator_of(under("denoiser/", state.arrays))
