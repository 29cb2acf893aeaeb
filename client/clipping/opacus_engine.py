"""Per-unit gradients by Opacus: its hooks give one gradient a row, grouped by unit before any clip.

Yousefpour et al., "Opacus: user-friendly differential privacy library in PyTorch" (2021).
Only GradSampleModule is used: clipping, noise and accounting are the gate's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from client.clipping.bound import Rows
from client.clipping.direct import weighted
from client.clipping.fold import UnfoldedError
from client.clipping.step import Examples, Step


class PerSample:
    """The engine `opacus`: GradSampleModule around the layers that a first pass meets.

    Raises UnfoldedError where a parameter lies in a layer that is none of `_LAYERS`.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._network: Network | None = None
        self._hooked: Callable[..., Tensor] = _unready

    def __call__(self, parameters: Mapping[str, Tensor], examples: Examples) -> Rows:
        network = self._network or self._build(parameters, examples)
        self._network = None  # after a pass that breaks off, its gradients must not stay behind
        with torch.no_grad():
            for name, value in network.values.items():
                value.copy_(parameters[name])
        with warnings.catch_warnings():
            # Opacus hooks the first layer, whose input asks for no gradient; torch remarks on that.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            losses = self._hooked(examples)
            losses.sum().backward()
        parts = [_grouped(network.values[name], len(losses)) for name in self._step.layout.names]
        self._network = network
        return Rows([*parts, *weighted(self._step, losses.detach())])

    def _build(self, parameters: Mapping[str, Tensor], examples: Examples) -> Network:
        from opacus import GradSampleModule

        network = Network(self._step, parameters)
        with torch.no_grad():
            network(examples)
        self._hooked = GradSampleModule(network, batch_first=True, loss_reduction="sum")
        return network


def _unready(examples: Examples) -> Tensor:
    raise AssertionError("the network is built first")


def _grouped(parameter: nn.Parameter, units: int) -> Tensor:
    """Gradients of single rows, summed over the rows of each unit: `[units, values]`."""
    found = getattr(parameter, "grad_sample", None)
    parameter.grad = None
    if found is None:
        return parameter.new_zeros(units, parameter.numel())
    parameter.grad_sample = None  # type: ignore[attr-defined]
    parts = found if isinstance(found, list) else [found]
    return torch.stack([part.reshape(units, -1, parameter.numel()).sum(dim=1) for part in parts]).sum(dim=0)


class Network(nn.Module):
    """The method's loss, with a module in place of each layer that holds parameters."""

    def __init__(self, step: Step, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._loss = step.method.loss
        self.values = {name: nn.Parameter(parameters[name].clone()) for name in step.layout.names}
        self.layers = nn.ModuleDict()

    def forward(self, examples: Examples) -> Tensor:
        with _Redirect(self):
            return self._loss(self.values, examples)


class _Redirect(TorchFunctionMode):
    """Calls the module that stands for a function with these parameters, and makes it the first time."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
        self._names = {id(value): name for name, value in network.values.items()}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = [*args, *(kwargs or {}).values()]
        names = tuple(self._names[id(value)] for value in given if id(value) in self._names)
        if not names or (getattr(func, "__self__", None) is not None and func not in _LAYERS):
            return func(*args, **(kwargs or {}))
        if func not in _LAYERS or id(args[0]) in self._names:
            raise UnfoldedError(names, f"Opacus has no layer for {getattr(func, '__name__', func)}")
        layers, key = self._network.layers, "|".join((func.__name__, *names)).replace(".", "/")
        if key not in layers:
            layers[key] = _LAYERS[func](*args[1:], **(kwargs or {}))
        return layers[key](args[0])


def _holding(layer: nn.Module, weight: Any, bias: Any) -> nn.Module:
    layer.weight = _parameter(weight)
    layer.bias = _parameter(bias)
    return layer


def _parameter(value: Any) -> Any:
    """A tensor that is not trained stands in its layer as a parameter without gradient."""
    plain = isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
    return nn.Parameter(value, requires_grad=False) if plain else value


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    return _holding(nn.Linear(weight.shape[1], weight.shape[0], bias is not None), weight, bias)


def _embedding(weight: Tensor, **_: Any) -> nn.Module:
    layer = nn.Embedding(*weight.shape)
    layer.weight = weight
    return layer


def _layer_norm(shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> nn.Module:
    return _holding(nn.LayerNorm(shape, eps), weight, bias)


def _group_norm(groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> nn.Module:
    return _holding(nn.GroupNorm(groups, len(weight), eps), weight, bias)


def _conv1d(
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> nn.Module:
    outputs, inputs, span = weight.shape
    layer = nn.Conv1d(inputs * groups, outputs, span, stride, padding, dilation, groups)
    return _holding(layer, weight, bias)


_LAYERS: Final[dict[Callable[..., Any], Callable[..., nn.Module]]] = {
    F.linear: _linear,
    F.embedding: _embedding,
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    F.conv1d: _conv1d,
}
