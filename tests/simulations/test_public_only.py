"""Public only of a method that fits its generator: as many steps as the method's own, and its sampler."""

from __future__ import annotations

import torch

from common.generator.assets import Assets
from common.generator.onlooker import looked_on
from common.generator.sensor_codec import SensorCodec
from common.methods import build
from common.methods.moments import Moments
from common.motion.recording import Modality
from simulations.corpus import Corpus
from simulations.evaluation.quality import train_on_public

WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x",))


def test_public_only_is_fitted_as_long_and_drawn_as_the_methods_own() -> None:
    method = build(
        "moments", {"fit_steps": 3, "width": 8, "depth": 0}, Assets(SensorCodec(WATCH, ("a", "b")))
    )
    assert isinstance(method, Moments)
    windows = torch.randn(8, 64, 1, generator=torch.Generator().manual_seed(1))
    heard: list[tuple[str, int, int]] = []
    with looked_on(lambda what, done, steps: heard.append((what, done, steps))):
        found = train_on_public(method, Corpus(windows, torch.arange(8) % 2), 200)
    assert heard == [("fitting the generator", step, 3) for step in range(3)]
    assert found.sampler == method.generator(method.init(0)).sampler
    start = method.start(0)
    assert any(not torch.equal(found.parameters[name], value) for name, value in start.items())
