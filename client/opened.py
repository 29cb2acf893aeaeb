"""An accepted plan, built from the site's own code and ready to compute with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from client.clipping.choice import Chosen, choose
from client.clipping.cost import require_affordable
from client.clipping.step import Examples, Step
from client.speed import Speed
from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.generator.assets import Assets
from common.generator.bounds import MOST_LATENT
from common.generator.condition import Condition
from common.generator.text import bounded
from common.method import GradientMethod, UserBatch
from common.methods import build, option_of
from common.noise import PersonRandom
from common.plan import Plan
from common.vector import Layout

_UNFIT = (FedmotionError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class Opened:
    """A plan with its method, its assets and the engine that computes it here."""

    plan: Plan
    method: GradientMethod
    assets: Assets
    chosen: Chosen

    @cached_property
    def layout(self) -> Layout:
        """Names and shapes of the parameters that a round must bring; drawn once, not in every round."""
        return Layout.of(self.method.parameters(self.method.init(0)))


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
    if not isinstance(method, GradientMethod):
        raise Refusal(RefusalCode.POLICY, f"this gate does not compute {plan.method}")
    if dimension != plan.dimension:
        raise Refusal(RefusalCode.MALFORMED, "the plan's dimension is not the method's")
    if assets.text is not None:
        try:
            assets.text.check()
        except InputError as error:
            raise Refusal(RefusalCode.UNAVAILABLE, str(error)) from None
    return _chosen(plan, method, assets, speed)


def _chosen(plan: Plan, method: GradientMethod, assets: Assets, speed: Speed) -> Opened:
    """The engine for `plan`, tried on public probes: made-up people and random parameters."""
    random = torch.Generator().manual_seed(0)
    parameters = {
        name: torch.randn(value.shape, generator=random) / max(1, value.shape[-1]) ** 0.5
        for name, value in method.parameters(method.init(0)).items()
    }
    step = Step(method, Layout.of(parameters), plan.loss_weight)

    def probe(units: int) -> Examples:
        place = (units, method.motions)
        labels = torch.randint(len(plan.labels) + 1, place, generator=random)
        text = bounded(torch.randn(*place, assets.text_size, generator=random))
        lengths = torch.randint(1, assets.codec.frames + 1, place, generator=random)
        batch = UserBatch(
            latents=torch.randn(*place, assets.codec.latent, generator=random),
            condition=Condition(labels, text, lengths),
            mask=torch.ones(place, dtype=torch.bool),
        )
        return placed(
            method.examples(batch, PersonRandom(bytes(32), [str(u) for u in range(units)])), speed.device
        )

    try:
        replicas = option_of(plan.method, plan.options, "replicas") or 1
        require_affordable(method, step, assets, replicas, speed.device)
        chosen = choose(step, placed(parameters, speed.device), probe, speed)
    except InputError as error:
        raise Refusal(RefusalCode.UNAVAILABLE, str(error)) from None
    return Opened(plan=plan, method=method, assets=assets, chosen=chosen)


def placed(tensors: Mapping[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in tensors.items()}
