"""Which layers touch which parameters, caught while a loss runs: the folding half of book-keeping.

All sequences, replicas and frames of a unit are one axis of a layer's input and output, so
that a parameter's per-unit gradient follows from the two once the backward pass brings the
output's gradient; the parameters themselves ask for no gradient, and no second pass is
needed (book-keeping: Bu, Wang, Zha, Karypis 2023; here over all rows of a unit at once).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


class UnfoldedError(Exception):
    """The parameters `names` met an operation for which there is no rule."""

    def __init__(self, names: tuple[str, ...], why: str) -> None:
        super().__init__(f"{', '.join(names)}: {why}")
        self.names = names


class _MisfitError(Exception):
    """A rule does not hold for this call."""


class Sink(Protocol):
    """Where per-unit gradients go; several of one parameter add up."""

    def outer(self, name: str, left: Tensor, right: Tensor) -> None:
        """Parameter `name` of p x q values has per-unit gradient sum_n left[u, n] right[u, n]^T.

        `left` `[units, N, p]`, `right` `[units, N, q]`.
        """

    def add(self, name: str, gradient: Tensor) -> None:
        """Parameter `name` has per-unit gradient `gradient` `[units, ...]`."""


class Fold(TorchFunctionMode):
    """While active, each use of a parameter sends its per-unit gradient to `sink` during the backward pass.

    Every tensor that meets a parameter has a leading axis that is a multiple of `units`,
    user by user. Raises UnfoldedError on any use without a rule, so that none goes unnoticed.
    """

    def __init__(self, parameters: Mapping[str, Tensor], units: int, sink: Sink) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in parameters.items()}
        self.units = units
        self.sink = sink

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        used = tuple(_named(self._names, args)) + tuple(_named(self._names, kwargs.values()))
        if not used or getattr(func, "__self__", None) in _METADATA or func in _METADATA:
            return func(*args, **kwargs)
        if func not in _RULES:
            raise UnfoldedError(used, f"no rule for {getattr(func, '__name__', func)}")
        try:
            return _RULES[func](self, *args, **kwargs)
        except _MisfitError as misfit:
            raise UnfoldedError(used, str(misfit)) from None

    def name(self, value: Any) -> str | None:
        """The parameter that `value` is, if any."""
        return self._names.get(id(value))

    def rows(self, value: Tensor) -> Tensor:
        """`[units * m, ..., d]` as `[units, N, d]`."""
        return value.reshape(self.units, -1, value.shape[-1])

    def by_unit(self, value: Tensor) -> Tensor:
        """`[units * m, ...]` as `[units, m, ...]`."""
        return value.reshape(self.units, -1, *value.shape[1:])

    def watch(self, output: Tensor, then: Callable[[Tensor], None]) -> Tensor:
        """Call `then` with the gradient of `output` when the backward pass brings it."""
        if output.ndim == 0 or output.shape[0] % self.units:
            raise _MisfitError(f"an output of shape {tuple(output.shape)} has no axis of {self.units} units")
        if not output.requires_grad:
            output.requires_grad_()
        output.register_hook(then)
        return output


def _named(names: Mapping[int, str], values: Iterable[Any]) -> Iterator[str]:
    """The parameters among `values`, which may be nested in lists."""
    for value in values:
        if id(value) in names:
            yield names[id(value)]
        elif type(value) in (list, tuple):
            yield from _named(names, value)


def _data(fold: Fold, value: Tensor) -> Tensor:
    """`value`, a layer's input, which no parameter may be."""
    if (name := fold.name(value)) is not None:
        raise _MisfitError(f"{name} stands where a layer's input belongs")
    return value


def _linear(fold: Fold, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    inputs = _data(fold, input).detach()

    def then(b: Tensor) -> None:
        if (name := fold.name(weight)) is not None:
            fold.sink.outer(name, fold.rows(b), fold.rows(inputs))
        if (name := fold.name(bias)) is not None:
            fold.sink.add(name, fold.rows(b).sum(dim=1))

    return fold.watch(F.linear(input, weight, bias), then)


def _embedding(
    fold: Fold,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    if padding_idx is not None or max_norm is not None or scale_grad_by_freq or sparse:
        raise _MisfitError("an embedding with options")
    name = fold.name(weight)
    assert name is not None

    def then(b: Tensor) -> None:
        chosen = F.one_hot(input, weight.shape[0]).to(b.dtype)
        fold.sink.outer(name, fold.rows(chosen), fold.rows(b))

    return fold.watch(F.embedding(input, weight), then)


def _scaled(fold: Fold, plain: Tensor, weight: Tensor | None, bias: Tensor | None, axes: int) -> Tensor:
    """plain * weight + bias, the parameters standing on the last `axes` axes."""
    output = plain if weight is None else plain * weight
    output = output if bias is None else output + bias
    kept = plain.detach()

    def then(b: Tensor) -> None:
        for parameter, gradient in ((weight, b * kept), (bias, b)):
            if (name := fold.name(parameter)) is not None:
                shape = b.shape[b.ndim - axes :]
                fold.sink.add(name, gradient.reshape(fold.units, -1, *shape).sum(dim=1))

    return fold.watch(output, then)


def _layer_norm(
    fold: Fold,
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    plain = F.layer_norm(_data(fold, input), normalized_shape, None, None, eps)
    return _scaled(fold, plain, weight, bias, len(normalized_shape))


def _group_norm(
    fold: Fold,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    plain = F.group_norm(_data(fold, input), num_groups, None, None, eps).movedim(1, -1)
    return _scaled(fold, plain, weight, bias, 1).movedim(-1, 1)


def _conv1d(
    fold: Fold,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if groups != 1 or isinstance(padding, str) or input.ndim != 3:
        raise _MisfitError("a convolution by groups, with named padding or without batch axis")
    (step,), (pad,), (gap,) = (_single(value) for value in (stride, padding, dilation))
    inputs, span = _data(fold, input).detach(), gap * (weight.shape[2] - 1) + 1

    def then(b: Tensor) -> None:
        b = fold.rows(b.movedim(1, -1))
        if (name := fold.name(weight)) is not None:
            patches = F.pad(inputs, (pad, pad)).unfold(2, span, step)[..., ::gap]
            fold.sink.outer(name, b, fold.rows(patches.movedim(2, 1).flatten(start_dim=2)))
        if (name := fold.name(bias)) is not None:
            fold.sink.add(name, b.sum(dim=1))

    return fold.watch(F.conv1d(input, weight, bias, step, pad, gap), then)


def _conv2d(
    fold: Fold,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if groups != 1 or isinstance(padding, str) or input.ndim != 4:
        raise _MisfitError("a convolution by groups, with named padding or without batch axis")
    inputs = _data(fold, input).detach()

    def then(b: Tensor) -> None:
        if (name := fold.name(weight)) is not None:
            patches = F.unfold(inputs, weight.shape[2:], dilation, padding, stride)
            fold.sink.outer(name, fold.rows(b.flatten(2).mT), fold.rows(patches.mT))
        if (name := fold.name(bias)) is not None:
            fold.sink.add(name, fold.by_unit(b.sum(dim=(2, 3))).sum(dim=1))

    return fold.watch(F.conv2d(input, weight, bias, stride, padding, dilation), then)


def _single(value: Any) -> tuple[int]:
    return (int(value[0]),) if isinstance(value, (tuple, list)) else (int(value),)


def _elementwise(func: Function) -> Function:
    """A parameter that is broadcast onto a unit's values: a copy for each row takes its gradient."""

    def rule(fold: Fold, left: Any, right: Any, **named: Any) -> Tensor:
        pair = [left, right]
        names = [fold.name(value) for value in pair]
        if named or None not in names:
            raise _MisfitError("parameters meet parameters")
        side = 0 if names[0] is not None else 1
        parameter, other, name = pair[side], pair[1 - side], names[side]
        if not isinstance(other, Tensor) or other.ndim <= parameter.ndim:
            raise _MisfitError(f"{name} meets no axis of units")
        between = (1,) * (other.ndim - parameter.ndim - 1)
        copies = parameter.detach().reshape(1, *between, *parameter.shape)
        copies = copies.expand(other.shape[0], *between, *parameter.shape)

        def then(b: Tensor) -> None:
            summed = fold.by_unit(b).sum(dim=1)
            fold.sink.add(str(name), summed.reshape(summed.shape[0], *parameter.shape))

        pair[side] = fold.watch(copies, then)
        return func(*pair)  # type: ignore[no-any-return]

    return rule


_METADATA: Final = frozenset(
    {
        *(
            getattr(Tensor, name)
            for name in ("size", "dim", "numel", "__len__", "stride", "is_floating_point")
        ),
        *(getattr(Tensor, name) for name in ("shape", "dtype", "device", "ndim", "requires_grad", "layout")),
    }
)
_RULES: Final[dict[Function, Function]] = {
    F.linear: _linear,
    F.embedding: _embedding,
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    F.conv1d: _conv1d,
    F.conv2d: _conv2d,
    **{
        func: _elementwise(func)
        for name in ("add", "sub", "mul", "div")
        for func in (getattr(torch, name), getattr(Tensor, name))
    },
}
