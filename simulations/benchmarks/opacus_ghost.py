"""Opacus's ghost clipping as a peer: per-row norms, then a second backward pass over the scaled losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from client.clipping.opacus_engine import Network
from client.clipping.step import Examples, Step
from common.vector import Layout


class OpacusGhost:
    """One step of GradSampleModuleFastGradientClipping, each unit one row, its frames one axis."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._network: Network | None = None

    def __call__(self, parameters: Mapping[str, Tensor], examples: Examples) -> Tensor:
        if self._network is None:
            self._build(parameters, examples)
        network = self._network
        assert network is not None
        for value in network.values.values():
            value.grad = None
        losses = self._hooked(examples)
        losses.sum().backward(retain_graph=True)
        for value in network.values.values():
            value.grad = None
        factors = self._hooked.get_clipping_coef()
        self._hooked.disable_hooks()
        (factors * losses).sum().backward()
        self._hooked.enable_hooks()
        grads = {n: torch.zeros_like(v) if v.grad is None else v.grad for n, v in network.values.items()}
        return Layout.of(grads).flatten(grads)

    def _build(self, parameters: Mapping[str, Tensor], examples: Examples) -> None:
        from opacus.grad_sample import GradSampleModuleFastGradientClipping

        self._network = Network(self._step, parameters)
        with torch.no_grad():
            self._network(examples)
        layers = self._network.layers
        for name in list(layers):
            layers[name] = _OneAxis(layers[name])
        self._hooked = GradSampleModuleFastGradientClipping(
            self._network, batch_first=True, loss_reduction="sum", max_grad_norm=1.0
        )


class _OneAxis(nn.Module):
    """Opacus's norm of a linear layer takes inputs of three axes at most."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, value: Tensor) -> Tensor:
        if not value.is_floating_point():  # an embedding's indices
            return self.layer(value.flatten(start_dim=1)).reshape(*value.shape, -1)  # type: ignore[no-any-return]
        found: Tensor = self.layer(value.flatten(start_dim=1, end_dim=-2))
        return found.reshape(*value.shape[:-1], found.shape[-1])
