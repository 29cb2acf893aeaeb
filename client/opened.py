"""An accepted plan, built from the site's own code and ready to compute with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from client.clipping.choice import Chosen, choose, written
from client.clipping.cost import require_affordable
from client.clipping.remembered import made_up_memory
from client.clipping.step import Examples, Step
from client.speed import Speed
from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.generator.assets import Assets
from common.generator.bounds import MOST_LATENT
from common.generator.condition import Condition
from common.generator.text import bounded
from common.method import GradientMethod, Method, RememberingMethod, UserBatch, VectorMethod
from common.methods import build, option_of
from common.noise import PersonRandom
from common.plan import Plan
from common.vector import Layout

_UNFIT = (FedmotionError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class Opened:
    """A plan with its method, its assets and the engine that computes it here."""

    plan: Plan
    method: Method
    assets: Assets
    chosen: Chosen

    @cached_property
    def broadcast(self) -> Mapping[str, Tensor]:
        """Arrays of the names, shapes and types that a round must bring; made once, not in every round."""
        return self.method.broadcast(self.method.init(0)).arrays

    @cached_property
    def types(self) -> dict[str, torch.dtype]:
        return {name: value.dtype for name, value in self.broadcast.items()}


def open_plan(plan: Plan, arrays: Mapping[str, Tensor], speed: Speed) -> Opened:
    """Build what the plan names from the site's own code; raises Refusal(MALFORMED) if it does not fit."""
    try:
        assets = Assets.from_arrays(arrays, plan.codec, plan.text)
        codec = assets.codec
        if codec.labels != plan.labels or not 1 <= codec.latent <= MOST_LATENT:
            raise ValueError("the codec has other labels, or no latent of a usable length")
        method = build(plan.method, plan.options, assets)
        dimension = plan.dimension_of(method.dimension)
    except _UNFIT as error:
        raise Refusal(RefusalCode.MALFORMED, f"the plan's method or codec does not build: {error}") from None
    if not isinstance(method, GradientMethod) and (plan.steps_per_round > 1 or plan.loss_weight > 0):
        raise Refusal(RefusalCode.MALFORMED, f"method {plan.method} has no gradient steps and no loss")
    if plan.shard_size > 0 and not isinstance(method, RememberingMethod):
        raise Refusal(RefusalCode.MALFORMED, f"method {plan.method} knows no shards")
    if dimension != plan.dimension:
        raise Refusal(RefusalCode.MALFORMED, "the plan's dimension is not the method's")
    if assets.text is not None:
        try:
            assets.text.check()
        except InputError as error:
            raise Refusal(RefusalCode.UNAVAILABLE, str(error)) from None
    return _chosen(plan, method, assets, speed)


def _chosen(plan: Plan, method: Method, assets: Assets, speed: Speed) -> Opened:
    """How contributions are computed here, tried on public probes: made-up people and random parameters."""
    random = torch.Generator().manual_seed(0)
    state = method.broadcast(method.init(0))
    parameters = {name: _random(value, random) for name, value in method.parameters(state).items()}

    def probe(units: int) -> Examples:
        rng = PersonRandom(bytes(32), [str(unit) for unit in range(units)])
        batch = _made_up(plan, method, assets, units, random)
        examples = method.examples(state, batch, rng)
        if isinstance(method, RememberingMethod):
            examples |= made_up_memory(units, method.memory)
        return placed(examples, speed.device)

    there = placed(parameters, speed.device)
    try:
        if isinstance(method, GradientMethod):
            step = Step(method, Layout.of(parameters), plan.loss_weight)
            replicas = option_of(plan.method, plan.options, "replicas") or 1
            require_affordable(method, step, state, assets, replicas, speed.device)
            chosen = choose(step, there, probe, speed)
        else:
            assert isinstance(method, VectorMethod)
            chosen = written(method, there, probe, speed)
    except InputError as error:
        raise Refusal(RefusalCode.UNAVAILABLE, str(error)) from None
    return Opened(plan=plan, method=method, assets=assets, chosen=chosen)


def _random(value: Tensor, random: torch.Generator) -> Tensor:
    if not value.is_floating_point():
        return value
    return torch.randn(value.shape, generator=random) / math.sqrt(max(1, *value.shape[-1:]))


def _made_up(plan: Plan, method: Method, assets: Assets, units: int, random: torch.Generator) -> UserBatch:
    place = (units, method.motions)
    labels = torch.randint(len(plan.labels) + 1, place, generator=random)
    text = bounded(torch.randn(*place, assets.text_size, generator=random))
    lengths = torch.randint(1, assets.codec.frames + 1, place, generator=random)
    return UserBatch(
        latents=torch.randn(*place, assets.codec.latent, generator=random),
        condition=Condition(labels, text, lengths),
        mask=torch.ones(place, dtype=torch.bool),
    )


def placed(tensors: Mapping[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in tensors.items()}
