"""What a denoiser is: a network F as a pure function of named parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, ClassVar, Final, NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from common.errors import InputError
from common.generator.condition import Condition

MOST_PARAMETERS: Final = 100_000_000
"""What a site will build at a coordinator's word; MDM has 17.6 million."""

Shapes = dict[str, tuple[int, ...]]
Parameters = Mapping[str, Tensor]


class Level(NamedTuple):
    """What a network is told of sigma, each on the axes `[...]` of sigma.

    `noise` is c_noise. `mean` and `spread` are what F moves by for data of another mean, and by
    how much of its input for data of another spread: facts of the parameterisation.
    """

    noise: Tensor
    mean: Tensor
    spread: Tensor


class Network(Protocol):
    """What a loss and a sampler need of a denoiser."""

    @property
    def frames(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def latent(self) -> int: ...

    def apply(self, parameters: Parameters, x: Tensor, level: Level, condition: Condition) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Denoiser(ABC):
    """F(x, level, condition); label number `labels` is the null label.

    Every parameter belongs to a plain linear layer, convolution, embedding or norm, so that the
    book-keeping of per-person gradients has a rule for it. `text` is the size of the embeddings of
    sentences, of norm 1 at most; 0 adds no parameter. A latent is `frames` frames of `channels`
    numbers, frame by frame, of which the first `Condition.lengths` are motion: what stands in the
    others moves nothing.
    """

    kind: ClassVar[str]

    labels: int
    text: int = 0
    frames: int = 1
    channels: int

    @property
    def latent(self) -> int:
        return self.frames * self.channels

    @abstractmethod
    def shapes(self) -> Shapes:
        """Shapes of all parameters by name, in the order in which `init` draws them."""

    @abstractmethod
    def apply(self, parameters: Parameters, x: Tensor, level: Level, condition: Condition) -> Tensor:
        """F for `x` `[..., latent]`, `level` and `condition` `[...]`: `[..., latent]`.

        Padding of `x` is zero.
        """

    def init(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters: tables, biases and the last layer are zero, so that F = 0."""
        random = torch.Generator().manual_seed(seed)
        return {name: _start(name, shape, random) for name, shape in self.shapes().items()}

    def checked(self) -> Self:
        """This denoiser, if it is of a size that may be built; InputError otherwise."""
        size = sum(prod(shape) for shape in self.shapes().values())
        if size > MOST_PARAMETERS:
            raise InputError(
                f"a denoiser of {size:,} parameters: at most {MOST_PARAMETERS:,}; lower width or depth"
            )
        return self

    def description(self) -> dict[str, Any]:
        """The shape, as JSON."""
        return {"kind": self.kind} | asdict(self)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The denoiser that `description()` came from; InputError where it is none."""
        try:
            return cls(**{item.name: description[item.name] for item in fields(cls)}).checked()
        except (KeyError, TypeError) as error:
            raise InputError(f"the description of a denoiser is broken: {error}") from None


def told(parameters: Parameters, condition: Condition) -> Tensor:
    """Label and text as one vector `[..., width]`; a condition without text columns has no text."""
    found: Tensor = embedding(condition.labels, parameters["label.weight"])
    if "text.weight" in parameters and condition.text.shape[-1]:
        found = found + linear(condition.text, parameters["text.weight"])
    return found


def bounded(value: Tensor) -> Tensor:
    """`value` `[..., width]` with a norm below that of a vector of ones."""
    return value / torch.sqrt(1 + value.square().mean(dim=-1, keepdim=True))


def waves(c_noise: Tensor, frequencies: int) -> Tensor:
    """c_noise `[...]` as `[..., 2 frequencies]` cosines and sines of rising frequency."""
    rates = torch.pi * 2.0 ** torch.arange(frequencies, device=c_noise.device) / 4
    angles: Tensor = c_noise[..., None] * rates
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def valid(lengths: Tensor, frames: int) -> Tensor:
    """Which frames are motion, `[..., frames]`."""
    motion: Tensor = torch.arange(frames, device=lengths.device) < lengths[..., None]
    return motion


def _start(name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    if name.startswith("label."):
        return torch.randn(shape, generator=random) * 0.5
    if ".norm" in name and name.endswith(".weight"):
        return torch.ones(shape)
    if name.endswith(".bias") or name in ("shift.weight", "scale.weight", "output.weight"):
        return torch.zeros(shape)
    bound: float = prod(shape[1:]) ** -0.5
    return (torch.rand(shape, generator=random) * 2 - 1) * bound
