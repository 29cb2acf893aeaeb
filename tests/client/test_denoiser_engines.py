"""Book-keeping has a rule for every parameter of every denoiser: it equals the loop over people."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from client.clipping.choice import choose
from client.clipping.direct import looped, mapped
from client.clipping.keep import Keep
from client.clipping.step import Step
from client.speed import Speed
from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser
from common.generator.design import Design
from common.generator.objective import Objective, masked_mean
from common.vector import Layout
from tests.clipping import rows_of
from tests.common.generator.sequences import frames_codec, shaken

UNITS, MOTIONS, REPLICAS, FRAMES, CHANNELS, TEXT = 4, 2, 3, 43, 3, 5
DESIGNS = {
    "mlp": Design(width=8),
    "unet": Design(denoiser="unet", width=16, depth=2),
    "transformer": Design(denoiser="transformer", width=16, depth=2, heads=2),
    "after": Design(denoiser="transformer", width=16, depth=1, norm_order="after"),
}


class Training:
    """One person's loss, as methods have it."""

    name = "training"

    def __init__(self, design: Design) -> None:
        assets = Assets(frames_codec(FRAMES, CHANNELS))
        self.denoiser: Denoiser = design.denoiser_of(assets, TEXT)
        self.objective: Objective = design.objective_of(assets, self.denoiser, REPLICAS)

    def loss(self, parameters: dict[str, Tensor], examples: dict[str, Tensor]) -> Tensor:
        return masked_mean(self.objective.losses(parameters, examples), examples["mask"])

    def examples(self, units: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(0)
        place = (units, MOTIONS)
        condition = Condition(
            torch.randint(3, place, generator=random),
            torch.randn(*place, TEXT, generator=random, dtype=torch.float64) / 4,
            torch.randint(40, FRAMES + 1, place, generator=random),
        )
        wide = (*place, REPLICAS)
        return {
            "latents": torch.randn(*place, FRAMES * CHANNELS, generator=random, dtype=torch.float64),
            **condition._asdict(),
            "sigma": torch.exp(torch.randn(wide, generator=random, dtype=torch.float64)),
            "noise": torch.randn(*wide, FRAMES * CHANNELS, generator=random, dtype=torch.float64),
            "mask": torch.rand(place, generator=random) < 0.8,
        }


@pytest.mark.parametrize("name", DESIGNS)
def test_no_parameter_of_a_denoiser_is_without_a_rule(name: str) -> None:
    training = Training(DESIGNS[name])
    parameters = {n: v.double() for n, v in shaken(training.denoiser.init(0)).items()}
    step = Step(training, Layout.of(parameters), 0.0)  # type: ignore[arg-type]
    examples = training.examples(UNITS)
    expected = rows_of(looped(step, parameters, examples), UNITS)
    assert (expected.norm(dim=1) > 0).any()
    for compute in (Keep(step), lambda p, e: mapped(step, p, e)):
        found = rows_of(compute(parameters, examples), UNITS)
        assert float((found - expected).abs().max()) <= 1e-10 * float(expected.abs().max())


@pytest.mark.parametrize("name", DESIGNS)
def test_the_gate_would_choose_book_keeping(name: str) -> None:
    training = Training(DESIGNS[name])
    parameters = shaken(training.denoiser.init(0))
    step = Step(training, Layout.of(parameters), 0.0)  # type: ignore[arg-type]

    def probe(units: int) -> dict[str, Tensor]:
        drawn = training.examples(units)
        return {n: v.float() if v.is_floating_point() else v for n, v in drawn.items()}

    assert choose(step, parameters, probe, Speed(units=UNITS)).engine == "keep"
