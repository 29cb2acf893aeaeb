"""Few steps: where they start, that they draw as they were trained, and the way back to the parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from common.generator.assets import Assets
from common.generator.diffusion import PARAMETERISATIONS
from common.generator.few_steps import FewStepGenerator
from common.generator.samplers import Sampler
from common.generator.sensor_codec import SensorCodec
from common.motion.recording import Modality

CODEC = SensorCodec(Modality(kind="sensor", rate=50.0, window=16, channels=("acc_x",)), ("a", "b"))
LABELS = torch.arange(2).repeat(1000)


def _few(steps: int, base: dict[str, Tensor] | None = None, **design: str) -> FewStepGenerator:
    return FewStepGenerator(assets=Assets(CODEC, base or {}), width=8, draw_steps=steps, **design)  # type: ignore[arg-type]


def _drawn(few: FewStepGenerator, parameters: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return few.drawn(parameters, LABELS, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
@pytest.mark.parametrize("steps", [2, 3, 12])
def test_training_starts_from_the_public_prior(steps: int, parameterisation: str) -> None:
    """N(0, I) in any number of steps; Euler steps, the control, start far too narrow."""
    few = _few(steps, parameterisation=parameterisation)
    x = _drawn(few, few.start(0))
    assert x.std() == pytest.approx(1.0, abs=0.02)
    assert float(x.mean(dim=0).abs().max()) < 0.15
    row, euler = few.diffusion.preconditioning, Sampler(name="ddim", steps=steps)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        condition = few.condition_of(LABELS)
        return few.diffusion.denoised(few.network, few.start(0), x, sigma.expand(len(x)), condition)

    levels = euler.levels(row.sigma_min, row.sigma_max, row.spacing)
    narrow = euler.draw(denoise, tuple(x.shape), levels, torch.Generator().manual_seed(1))  # type: ignore[arg-type]
    assert float(narrow.std()) < 0.95


def test_a_public_base_is_where_it_starts() -> None:
    """Where the base's own people are: shifted by 2, not N(0, I)."""
    base = _few(3).network.init(0)
    base["shift.weight"] = torch.full_like(base["shift.weight"], 2.0)
    few = _few(3, base)
    x = _drawn(few, few.start(0))
    assert float(x.mean()) == pytest.approx(2.0, abs=0.1)
    assert float(x.std()) == pytest.approx(1.0, abs=0.02)


def test_it_draws_as_it_was_trained() -> None:
    few = _few(3)
    generator = few.few_step_generator(few.start(0))
    assert generator.sampler == few.sampler
    row = few.diffusion.preconditioning
    levels = few.sampler.levels(row.sigma_min, row.sigma_max, row.spacing)
    assert len(levels) == 4 and levels[-1] == 0


def test_every_parameter_that_says_something_has_a_way_back() -> None:
    few = _few(3)
    moving = {name: (value + 0.1).requires_grad_() for name, value in few.start(0).items()}
    x = few.drawn(moving, LABELS, torch.Generator().manual_seed(1))
    found = torch.autograd.grad(x.square().sum(), list(moving.values()))
    assert all(bool(part.any()) for part in found)


def test_more_steps_of_the_same_parameters_come_to_the_same_distribution() -> None:
    base = _few(3).network.init(0)
    base["shift.weight"] = torch.full_like(base["shift.weight"], 1.0)
    base["scale.weight"] = torch.full_like(base["scale.weight"], 0.3)
    few, many = _few(4, base), _few(48, base)
    assert _drawn(few, base).std() == pytest.approx(float(_drawn(many, base).std()), rel=0.1)
    assert _drawn(few, base).mean() == pytest.approx(float(_drawn(many, base).mean()), rel=0.1)
    assert replace(few, draw_steps=48) == many
