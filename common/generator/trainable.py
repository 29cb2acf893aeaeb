"""Which parameters of a denoiser are trained in private; the others stay as public motions left them.

The noise of a release grows with the square root of how many numbers it holds, so that a part of a
pre-trained network can learn where the whole would drown. Parts are told by the parameters' names
alone, whatever the network is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from common.errors import InputError
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser, Level

CHOICES: Final = ("all", "attention", "lora", "bias_norm", "condition")
"""What may be trained in private; all but the first need a pre-trained base."""

_A: Final = ".A"  # of a weight's frozen factor, in the base
_B: Final = ".B"  # and of the trained one
_CONDITION: Final = ("label.", "text.", "noise.", "shift.", "scale.")  # shift, scale: tables of labels

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Trainable:
    """A denoiser of which only a part is trained: itself a denoiser, as a function of that part.

    `train` is one of `CHOICES`. `all` starts from `base` where there is one; `attention` are the
    projections of attention (Lyu et al., DP-LDM, 2024); `bias_norm` biases and norms; `condition`
    what reads label, text and noise level. `lora` keeps every weight W0 `[out, in]` of attention
    (of hidden linear layers, where there is none) and trains B in W = W0 + B A (Hu et al., LoRA,
    2022, with alpha = rank): B `[out, rank]` starts at zero, A `[rank, in]` has orthonormal rows,
    is public and never moves, so that what is released is linear in B and noise does not multiply
    (Sun et al., FFA-LoRA, 2024). Raises InputError where `base` is not of this denoiser.
    """

    denoiser: Denoiser
    base: Mapping[str, Tensor]
    train: str
    rank: int
    _there: dict[torch.device, dict[str, Tensor]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.train != "all" and not self.base:
            raise InputError(
                f"train = {self.train} needs public parameters to start from: make them with fedmotion"
                " pretrain, and give pretrained = PATH"
            )
        if self.base:
            _check(self.base, self._expected())

    def init(self, seed: int) -> dict[str, Tensor]:
        """The trained parameters at the start: those of `base`, or B = 0."""
        if self.train == "lora":
            return {f"{n}{_B}": torch.zeros(self._shapes[n][0], self.rank) for n in self._names}
        start = self.base or self.denoiser.init(seed)
        return {name: start[name].clone() for name in self._names}

    @property
    def frames(self) -> int:
        return self.denoiser.frames

    @property
    def channels(self) -> int:
        return self.denoiser.channels

    @property
    def latent(self) -> int:
        return self.denoiser.latent

    def apply(
        self, parameters: Mapping[str, Tensor], x: Tensor, level: Level, condition: Condition
    ) -> Tensor:
        """F for `x` `[..., latent]`, `level` and `condition` `[...]`: `[..., latent]`."""
        frozen = self._frozen(x.device)
        if self.train != "lora":
            return self.denoiser.apply({**frozen, **parameters}, x, level, condition)
        factors = {id(frozen[n]): (frozen[f"{n}{_A}"], parameters[f"{n}{_B}"]) for n in self._names}
        with _LowRank(factors):
            return self.denoiser.apply(frozen, x, level, condition)

    def merged(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All parameters of the denoiser, given the trained ones."""
        whole = {name: self.base[name] for name in self._shapes if name in self.base}
        if self.train != "lora":
            return {**whole, **parameters}
        for name in self._names:
            whole[name] = whole[name] + parameters[f"{name}{_B}"] @ self.base[f"{name}{_A}"]
        return whole

    @cached_property
    def _shapes(self) -> Shapes:
        return self.denoiser.shapes()

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Of the parameters that are trained; under `lora`, of the weights that move."""
        return part(self._shapes, self.train)

    def _expected(self) -> Shapes:
        if self.train != "lora":
            return self._shapes
        return {**self._shapes, **{f"{n}{_A}": (self.rank, self._shapes[n][1]) for n in self._names}}

    def _frozen(self, device: torch.device) -> dict[str, Tensor]:
        """What is not trained, on `device`; moved there once."""
        if device not in self._there:
            kept = self.base.keys() if self.train == "lora" else self.base.keys() - set(self._names)
            self._there[device] = {name: self.base[name].to(device) for name in kept}
        return self._there[device]


def part(shapes: Shapes, train: str) -> tuple[str, ...]:
    """The names that `train` chooses among a denoiser's parameters; InputError where it chooses none."""
    chosen = tuple(_PARTS[train](shapes))
    if not chosen:
        left = ", ".join(supported(shapes))
        raise InputError(f"train = {train}: this denoiser has no such parameters; choose from {left}")
    return chosen


def supported(shapes: Shapes) -> tuple[str, ...]:
    """The choices that leave something to train in a denoiser of these parameters."""
    return tuple(train for train in CHOICES if any(True for _ in _PARTS[train](shapes)))


def with_low_rank(base: Mapping[str, Tensor], rank: int, seed: int) -> dict[str, Tensor]:
    """`base` and a factor A `[rank, in]` of orthonormal rows for every weight that LoRA moves.

    Drawn once, by whoever makes the plan, and sent with it. InputError for a rank above a layer's width.
    """
    shapes = {name: tuple(value.shape) for name, value in base.items()}
    random = torch.Generator().manual_seed(seed)
    factors = {}
    for name in part(shapes, "lora"):
        inputs = shapes[name][1]
        if rank > inputs:
            raise InputError(f"rank is {rank}, and {name} has {inputs} inputs: rank is that at most")
        orthogonal, _ = torch.linalg.qr(torch.randn(inputs, rank, generator=random, dtype=torch.float64))
        factors[f"{name}{_A}"] = orthogonal.T.to(torch.float32).contiguous()
    return {**base, **factors}


def _attention(shapes: Shapes) -> Iterator[str]:
    return (name for name in sorted(shapes) if ".attention." in name)


def _low_rank(shapes: Shapes) -> Iterator[str]:
    matrices = [n for n in sorted(shapes) if n.endswith(".weight") and len(shapes[n]) == 2]
    attention = list(_attention(dict.fromkeys(matrices, ())))
    hidden = (n for n in matrices if n.startswith("block") and ".norm" not in n and ".film." not in n)
    return iter(attention or hidden)


def _bias_norm(shapes: Shapes) -> Iterator[str]:
    return (name for name in sorted(shapes) if name.endswith(".bias") or ".norm" in name)


def _condition(shapes: Shapes) -> Iterator[str]:
    return (name for name in sorted(shapes) if name.startswith(_CONDITION) or ".film." in name)


_PARTS: Final[Mapping[str, Callable[[Shapes], Iterable[str]]]] = {
    "all": sorted,
    "attention": _attention,
    "lora": _low_rank,
    "bias_norm": _bias_norm,
    "condition": _condition,
}


def _check(base: Mapping[str, Tensor], expected: Shapes) -> None:
    if wrong := sorted(base.keys() ^ expected.keys()):
        verb = "lacks" if wrong[0] in expected else "has an unknown"
        raise InputError(f"the pre-trained base {verb} {wrong[0]}: it is of another denoiser")
    for name, shape in expected.items():
        value = base[name]
        if tuple(value.shape) != shape or value.dtype != torch.float32:
            raise InputError(
                f"{name} of the pre-trained base is {value.dtype} {list(value.shape)}, and the denoiser's"
                f" is torch.float32 {list(shape)}: it is of another denoiser"
            )
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{name} of the pre-trained base is not finite: pre-train it again")


_SHAPE: Final = frozenset(
    (Tensor.size, Tensor.dim, Tensor.numel, *(getattr(Tensor, n).__get__ for n in ("shape", "dtype", "ndim")))
)


class _LowRank(TorchFunctionMode):
    """While active, a linear layer of weight W0 is one of W0 + B A, without the product being formed.

    The two thin layers are what book-keeping knows how to fold. `factors` maps id(W0) to A and B.
    """

    def __init__(self, factors: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._factors = factors

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SHAPE or not self._meets([*args, *kwargs.values()]):
            return func(*args, **kwargs)
        if func is not linear:
            raise TypeError(f"a weight that LoRA moves is used by {func}, not by a linear layer")
        return self._linear(*args, **kwargs)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        a, b = self._factors[id(weight)]
        return linear(input, weight, bias) + linear(linear(input, a), b)

    def _meets(self, values: Iterable[Any]) -> bool:
        return any(
            self._meets(value) if type(value) in (list, tuple) else id(value) in self._factors
            for value in values
        )
