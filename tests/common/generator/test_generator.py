"""The shared generator: plausible motions of the asked label, the same for the same seed."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.denoisers import ResidualMLP
from common.generator.generator import UNLABELLED, Generator
from common.generator.motion_codec import MotionCodec
from common.generator.sensor_codec import SensorCodec
from common.motion.population import BASIC_ACTIONS
from common.motion.recording import Modality


@pytest.fixture(scope="module")
def generator(codec: MotionCodec) -> Generator:
    denoiser = ResidualMLP(latent=codec.latent, labels=len(codec.labels), width=8, depth=1)
    random = torch.Generator().manual_seed(2)
    parameters = {n: v + 0.02 * torch.randn(v.shape, generator=random) for n, v in denoiser.init(0).items()}
    return Generator(codec, denoiser, parameters, codec.label_prior())


def test_samples_are_bodies_on_the_floor(generator: Generator) -> None:
    joints, labels = generator.sample(30, "walk", seed=1)
    assert joints.shape == (30, 60, 22, 3)
    assert labels == ["walk"] * 30
    assert joints.isfinite().all()
    assert 0.7 < float(joints[:, :, 0, 1].mean()) < 1.1  # pelvis height
    assert float((joints[:, -1, 0] - joints[:, 0, 0]).norm(dim=-1).mean()) > 2.0  # three seconds of walking
    shin = (joints[:, :, 7] - joints[:, :, 4]).norm(dim=-1)
    assert 0.3 < float(shin.mean()) < 0.55


def test_the_seed_decides(generator: Generator) -> None:
    first, again, other = (generator.sample(8, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_labels_come_in_the_shares_of_the_prior(generator: Generator) -> None:
    _, labels = generator.sample(200, seed=0, steps=2)
    for share, name in zip(generator.label_prior.tolist(), generator.codec.labels, strict=False):
        assert abs(labels.count(name) - 200 * share) <= 1.01
    assert UNLABELLED not in labels


def test_unknown_label_and_empty_order_are_refused(generator: Generator) -> None:
    with pytest.raises(InputError, match="unknown label 'fly'"):
        generator.sample(1, "fly")
    with pytest.raises(InputError, match="count must be at least 1"):
        generator.sample(0)


@pytest.mark.parametrize("label", [*BASIC_ACTIONS, "climb"])
def test_every_label_can_be_drawn_stochastic_and_guided(generator: Generator, label: str) -> None:
    joints, _ = generator.sample(3, label, seed=0, stochastic=True, guidance=1.0)
    assert joints.isfinite().all()


def test_a_checkpoint_rebuilds_the_generator(generator: Generator) -> None:
    arrays: dict[str, Tensor] = generator.arrays()
    again = Generator.from_arrays(arrays, json.loads(json.dumps(generator.description())))
    assert torch.equal(again.sample(5, seed=7)[0], generator.sample(5, seed=7)[0])


def test_sensors_without_labels() -> None:
    watch = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x", "acc_y"))
    codec = SensorCodec(watch, ())
    denoiser = ResidualMLP(latent=codec.latent, labels=0, width=4, depth=0)
    windows, labels = Generator(codec, denoiser, denoiser.init(0), codec.label_prior()).sample(4)
    assert windows.shape == (4, 64, 2)
    assert labels == [UNLABELLED] * 4
