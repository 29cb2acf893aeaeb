"""Who looks on hears of every step, and nothing that is computed depends on it."""

from __future__ import annotations

import pytest
import torch

from common.generator.assets import Assets
from common.generator.fit import resampled
from common.generator.onlooker import looked_on, steps
from common.generator.sensor_codec import SensorCodec
from common.methods import build
from common.methods.moments import Moments
from common.motion.recording import Modality

WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x",))


def _fitted() -> dict[str, torch.Tensor]:
    method = build(
        "moments", {"fit_steps": 3, "width": 8, "depth": 0}, Assets(SensorCodec(WATCH, ("a", "b")))
    )
    assert isinstance(method, Moments)
    latents = torch.randn(8, method.assets.codec.latent, generator=torch.Generator().manual_seed(1))
    return method.fitted(resampled(latents, torch.arange(8) % 2), method.start(0), 0)


def test_a_fit_is_the_same_whether_anybody_looks_on_or_not() -> None:
    heard: list[tuple[str, int, int]] = []
    alone = _fitted()
    with looked_on(lambda what, done, count: heard.append((what, done, count))):
        seen = _fitted()
    assert heard == [("fitting the generator", done, 3) for done in range(3)]
    assert all(torch.equal(alone[name], seen[name]) for name in alone)


def test_nobody_hears_after_the_body_not_even_after_an_error() -> None:
    heard: list[int] = []
    with pytest.raises(ValueError), looked_on(lambda _, done, __: heard.append(done)):
        raise ValueError
    assert list(steps("anything", 3)) == [0, 1, 2] and not heard
