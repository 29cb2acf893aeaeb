"""Per-unit gradients without knowing the network: by vmap, and one unit after the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from client.clipping.bound import Rows
from client.clipping.step import Examples, Step


def mapped(step: Step, parameters: Mapping[str, Tensor], examples: Examples) -> Rows:
    """Each unit's gradient of its own loss, by vmap over units of one."""
    gradients, losses = mapped_gradients(step, parameters, {}, examples)
    parts = [gradients[name].flatten(start_dim=1) for name in step.layout.names]
    return Rows([*parts, *weighted(step, losses)])


def mapped_gradients(
    step: Step, moving: Mapping[str, Tensor], fixed: Mapping[str, Tensor], examples: Examples
) -> tuple[dict[str, Tensor], Tensor]:
    """Gradients `[units, *shape]` for the `moving` parameters alone, and losses `[units]`."""

    def alone(values: Mapping[str, Tensor], example: Examples) -> Tensor:
        joined = {**fixed, **values}
        return step.method.loss(joined, {name: part[None] for name, part in example.items()}).sum()

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention know no vmap
        gradients, losses = vmap(grad_and_value(alone), in_dims=(None, 0))(dict(moving), dict(examples))
    return gradients, losses


def looped(step: Step, parameters: Mapping[str, Tensor], examples: Examples) -> Rows:
    """The oracle and last resort: an ordinary backward pass for each unit."""
    units = len(next(iter(examples.values())))
    return Rows([torch.stack([_one(step, parameters, _unit(examples, unit)) for unit in range(units)])])


def _unit(examples: Examples, unit: int) -> dict[str, Tensor]:
    return {name: part[unit : unit + 1] for name, part in examples.items()}


def _one(step: Step, parameters: Mapping[str, Tensor], example: Examples) -> Tensor:
    values = {name: parameters[name].detach().requires_grad_() for name in step.layout.names}
    loss = step.method.loss(values, example)
    gradients = torch.autograd.grad(
        loss.sum(), list(values.values()), allow_unused=True, materialize_grads=True
    )
    parts = [gradient.reshape(-1) for gradient in gradients]
    return torch.cat([*parts, *(part[0] for part in weighted(step, loss.detach()))])


def weighted(step: Step, losses: Tensor) -> list[Tensor]:
    """The column of the loss, `[units, 1]`, where it is asked for."""
    return [step.loss_weight * losses[:, None]] if step.loss_weight > 0 else []
