"""What a method is: public state and one user's data to one vector; state and mean to the next state.

Everything that privacy needs (sampling, clipping, noise, accounting) happens once,
in the gate, on that vector; a method cannot weaken the guarantee, whatever it
computes from one user's data.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from torch import Tensor

from common.generator.condition import Condition
from common.generator.generator import Generator
from common.vector import Vector


@dataclass(frozen=True, eq=False)
class PublicState:
    """All that may be broadcast: it depends on public data and on releases only."""

    round: int
    arrays: Mapping[str, Tensor] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over the round and every array's name, dtype, shape and bytes, in hexadecimal."""
        return digest_arrays(self.arrays, str(self.round))


def digest_arrays(arrays: Mapping[str, Tensor], prefix: str = "") -> str:
    """SHA-256 over names, dtypes, shapes and bytes in the order of names, in hexadecimal."""
    digest = hashlib.sha256(prefix.encode())
    for name in sorted(arrays):
        array = arrays[name].detach().cpu().contiguous()
        digest.update(f"|{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        digest.update(array.numpy().reshape(-1).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class UserBatch:
    """Sequences of several users, at most M each, as the public codec encoded them.

    `latents` is `[users, M, latent]`, `condition` what each sequence shows, on `[users, M]`;
    `mask` `[users, M]` is True where a sequence is present. A user has at least one sequence;
    padding rows of a chunk have none and contribute nothing.
    """

    latents: Tensor
    condition: Condition
    mask: Tensor

    def __len__(self) -> int:
        return self.latents.shape[0]


class UserRandom(Protocol):
    """Randomness keyed by person: row u is the same whatever the other rows are."""

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[users, *shape]`, float32."""

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in (0, 1), `[users, *shape]`, float32."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What a plan of a method takes where nobody says otherwise; it needs `most_rounds` at most."""

    rounds: int = 200
    sampling_rate: float = 0.5
    clip_norm: float = 0.2
    most_rounds: int | None = None

    def needed(self, rounds: int) -> int:
        """How many of at most `rounds` a run has."""
        return rounds if self.most_rounds is None else min(rounds, self.most_rounds)


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What a method makes of noise, to choose among methods before any data are read.

    Of public only's distance to people, `least` is left without noise and `most` where there is nothing
    else; half-way between them is noise of `half` the signal (kappa of the sizing rule). All three are
    measured on procedural people (docs/choosing.md); by default nobody has, and no gain is expected.
    """

    least: float = 1.0
    most: float = 1.2
    half: float = 0.5

    def left(self, noise: float) -> float:
        """The share of public only's distance to people that is left at so much noise; 1: no gain."""
        drowned = noise**2 / (noise**2 + self.half**2)
        return self.least + (self.most - self.least) * drowned


class Method(ABC):
    """A method; concrete ones are frozen dataclasses whose fields are their hyper-parameters.

    `training` names those that say how parameters are found and not what they mean: the others
    are the design, which pre-trained parameters belong to. `motions` is M, the most sequences of
    one user that enter a round.
    """

    name: ClassVar[str]
    training: ClassVar[frozenset[str]] = frozenset()
    usual: ClassVar[Usual] = Usual()
    prospect: ClassVar[Prospect] = Prospect()

    motions: int

    @abstractmethod
    def init(self, seed: int) -> PublicState:
        """The state before round 1; `seed` fixes public things only."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of the contribution vector."""

    @abstractmethod
    def broadcast(self, state: PublicState) -> PublicState:
        """The part of `state` that sites need for a round."""

    @abstractmethod
    def parameters(self, state: PublicState) -> dict[str, Tensor]:
        """The arrays of `state`, by name, that contributions are a function of."""

    @abstractmethod
    def examples(self, state: PublicState, users: UserBatch, rng: UserRandom) -> dict[str, Tensor]:
        """Draw what contributions need besides; every tensor has the leading axis `[users]`.

        Row u depends on the broadcast `state`, on user u and on user u's randomness alone.
        """

    @abstractmethod
    def update(self, state: PublicState, mean: Vector, noise: float) -> PublicState:
        """The server's step from the noised mean contribution: post-processing only.

        `noise` is the standard deviation of the noise in each coordinate of `mean`, a public fact.
        """

    @abstractmethod
    def generator(self, state: PublicState) -> Generator:
        """The shared diffusion generator of `state`."""


class GradientMethod(Method):
    """A method whose contribution is the gradient of a per-user loss in `parameters`."""

    @abstractmethod
    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """One loss for each user, `[users]`: the mean over that user's sequences and noise draws."""

    @abstractmethod
    def local_step(self, parameters: Mapping[str, Tensor], mean: Vector) -> dict[str, Tensor]:
        """A site's own step between two noised releases of one round (rule 9 of the gate)."""


class VectorMethod(Method):
    """A method that computes its contribution itself; a round is one step."""

    @abstractmethod
    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """One vector for each user, `[users, dimension]`, before it is clipped.

        Row u depends on row u of every example alone.
        """


class RememberingMethod(VectorMethod):
    """A method with a memory of each unit at its site, which grows with its rounds and never leaves.

    Formal guarantee: what a unit contributes may depend on its memory, as long as that is a function
    of the unit's own data, its own randomness and what was broadcast. Then, given all earlier releases,
    a contribution is a mixture over memories of vectors that each are clipped to C, and a release costs
    what it would cost without memory (docs/methods/gs_wgan.md says why).

    Its units may be shards of people (`Plan.shard_size`).
    """

    @property
    @abstractmethod
    def memory(self) -> int:
        """How many float32 numbers a unit remembers."""

    @property
    @abstractmethod
    def held(self) -> int:
        """About how many numbers the computation of one unit holds at once."""

    @abstractmethod
    def beginning(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """The memory of units in their first round, `[users, memory]`; row u depends on row u alone."""

    @abstractmethod
    def answers(
        self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor], memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vectors `[users, dimension]` and memories `[users, memory]` from the memories before.

        Row u of both depends on row u of every example and of `memory` alone.
        """

    def contributions(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        """What units contribute in their first round."""
        return self.answers(parameters, examples, self.beginning(parameters, examples))[0]
