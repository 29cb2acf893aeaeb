"""The engines of per-person clipping, and what they are measured against, each as one step to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from client.clipping.bound import clipped_sum
from client.clipping.choice import choose
from client.clipping.step import Examples, PerUnitLoss, Step
from client.speed import Engine, Speed
from common.vector import Layout

PEERS = ("loop", "vmap", "opacus", "opacus ghost")
OURS = ("auto", "keep", "ghost")
PLAIN = "non-private"


def contender(
    name: str, method: PerUnitLoss, parameters: Mapping[str, Tensor], examples: Examples
) -> Callable[[], object]:
    """One step of `name`: a gradient without privacy, or the clipped sum over all units of `examples`."""
    step = Step(method, Layout.of(parameters))
    if name == PLAIN:
        return partial(_plain, method, parameters, examples)
    if name == "opacus ghost":
        from simulations.benchmarks.opacus_ghost import OpacusGhost

        return partial(OpacusGhost(step), parameters, examples)
    return _engine(name, step, parameters, examples)  # type: ignore[arg-type]


def _engine(
    name: Engine, step: Step, parameters: Mapping[str, Tensor], examples: Examples
) -> Callable[[], object]:
    units = len(next(iter(examples.values())))

    def part(chosen: list[int] | slice) -> dict[str, Tensor]:
        return {key: value[chosen] for key, value in examples.items()}

    chosen = choose(step, parameters, lambda count: part(slice(0, count)), Speed(engine=name, units=units))

    def call() -> Tensor:
        def compute(who: object) -> object:
            return chosen.compute(parameters, part(list(who)))  # type: ignore[call-overload]

        return clipped_sum(compute, range(units), step.dimension, 1.0, chosen.widths)  # type: ignore[arg-type]

    return call


def _plain(method: PerUnitLoss, parameters: Mapping[str, Tensor], examples: Examples) -> Tensor:
    values = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    gradients = torch.autograd.grad(method.loss(values, examples).mean(), list(values.values()))
    return Layout.of(values).flatten(dict(zip(values, gradients, strict=True)))
