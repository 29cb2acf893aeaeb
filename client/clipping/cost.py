"""What one unit of a plan would cost, told before anything of that size is asked of the machine.

A pass on the meta device, where tensors have shapes and no numbers: a coordinator's absurd plan is
refused by arithmetic instead of by the kernel that runs out of memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from client.clipping.step import Examples, Step
from common.errors import InputError
from common.generator.assets import Assets
from common.generator.condition import Condition
from common.method import GradientMethod, PublicState, UserBatch

_MOST_OPERATIONS: Final = 10**13
"""Of one unit's forward pass: 70 times MDM's on 4 motions of 120 frames at 8 noise levels."""
_SMALL: Final = 2**26
"""Uses of a parameter by one unit below which nothing need be measured: a gigabyte at the very most."""
_HELD: Final = 4
"""What probes of two units, their gradients and copies take at their peak, over one unit's size."""
_ATTENDED: Final = 64 * 16
"""Heads and layers of the largest transformer, each of which holds frames x frames numbers."""


@dataclass(frozen=True)
class Cost:
    """`size`: bytes that a unit's examples, backward pass and gradient take; `operations` of its forward."""

    size: int
    operations: int


class _Shapes:
    """Draws without numbers."""

    def normal(self, *shape: int) -> Tensor:
        return torch.empty(1, *shape, device="meta")

    uniform = normal


def cost(method: GradientMethod, step: Step, state: PublicState, latent: int, text: int) -> Cost:
    """Of one unit with all its motions, for latents of so many numbers and sentences of `text`."""
    with torch.device("meta"):
        place = (1, method.motions)
        labels = torch.empty(place, dtype=torch.int64)
        condition = Condition(labels, torch.empty(*place, text), labels)
        batch = UserBatch(torch.empty(*place, latent), condition, torch.empty(place, dtype=torch.bool))
        examples = method.examples(meta(state), batch, _Shapes())
        parameters = {name: torch.empty(shape, requires_grad=True) for name, shape in step.shapes.items()}
    return _measured(step, parameters, examples)


def meta(state: PublicState) -> PublicState:
    """`state` in shapes alone."""
    return PublicState(state.round, {name: value.to("meta") for name, value in state.arrays.items()})


def _measured(step: Step, parameters: Mapping[str, Tensor], examples: Examples) -> Cost:
    kept = {value.untyped_storage()._cdata: value for value in examples.values()}

    def pack(value: Tensor) -> Tensor:
        kept[value.untyped_storage()._cdata] = value
        return value

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        step.method.loss(parameters, examples)
    size = sum(value.untyped_storage().nbytes() for value in kept.values()) + 4 * step.dimension
    return Cost(size, counter.get_total_flops())


def require_affordable(
    method: GradientMethod, step: Step, state: PublicState, assets: Assets, replicas: int, device: str
) -> None:
    """InputError where one unit is beyond this machine, or beyond any: a public fact, as shapes are."""
    frames, rows = assets.codec.frames, method.motions * replicas
    values = step.dimension + sum(value.numel() for value in assets.base.values())
    attended = _ATTENDED * frames**2 if frames > 1 else 0
    if rows * (frames * values + attended + assets.codec.latent) <= _SMALL:
        return
    found, room = cost(method, step, state, assets.codec.latent, assets.text_size), memory(device)
    if _HELD * found.size > room:
        raise InputError(
            f"one person takes {found.size / 2**30:.1f} GiB, more than a quarter of this machine's"
            f" {room / 2**30:.1f}: lower width, depth, motions or replicas"
        )
    if found.operations > _MOST_OPERATIONS:
        raise InputError(
            f"one person takes {found.operations:.2g} operations, and {_MOST_OPERATIONS:.0e} are the most:"
            " lower width, depth, motions or replicas"
        )


def memory(device: str) -> int:
    """Bytes of the memory that `device` computes in."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
