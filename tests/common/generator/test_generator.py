"""The shared generator: plausible motions of the asked label, the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from common.errors import InputError
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.unet import UNet
from common.generator.generator import UNLABELLED, Generator
from common.generator.motion_codec import MotionCodec
from common.generator.samplers import SAMPLERS, Sampler
from common.generator.sensor_codec import SensorCodec
from common.motion.population import BASIC_ACTIONS
from common.motion.recording import Modality
from tests.common.generator.sequences import frames_codec, shaken


@pytest.fixture(scope="module")
def generator(codec: MotionCodec) -> Generator:
    denoiser = ResidualMLP(channels=codec.latent, labels=len(codec.labels), width=8, depth=1)
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
    _, labels = generator.sample(200, seed=0, sampler=Sampler(steps=2))
    for share, name in zip(generator.label_prior.tolist(), generator.codec.labels, strict=False):
        assert abs(labels.count(name) - 200 * share) <= 1.01
    assert UNLABELLED not in labels


def test_unknown_label_and_empty_order_are_refused(generator: Generator) -> None:
    with pytest.raises(InputError, match="unknown label 'fly'"):
        generator.sample(1, "fly")
    with pytest.raises(InputError, match="count must be at least 1"):
        generator.sample(0)


@pytest.mark.parametrize("label", [*BASIC_ACTIONS, "climb"])
def test_every_label_can_be_drawn_guided(generator: Generator, label: str) -> None:
    joints, _ = generator.sample(3, label, seed=0, guidance=1.0)
    assert joints.isfinite().all()


def test_sensors_without_labels() -> None:
    watch = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x", "acc_y"))
    codec = SensorCodec(watch, ())
    denoiser = ResidualMLP(channels=codec.latent, labels=0, width=4, depth=0)
    windows, labels = Generator(codec, denoiser, denoiser.init(0), codec.label_prior()).sample(4)
    assert windows.shape == (4, 64, 2)
    assert labels == [UNLABELLED] * 4


def _frames_generator(text: int = 0) -> Generator:
    codec = frames_codec(61, 3)
    denoiser = UNet(labels=2, text=text, frames=61, channels=3, width=16, depth=2)
    return Generator(codec, denoiser, shaken(denoiser.init(0), 0.05), codec.label_prior())


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_motions_of_any_length(name: str) -> None:
    generator = _frames_generator()
    for frames in (None, 40, 61):
        motions, labels = generator.sample(
            5, "b", sampler=Sampler(name=name, steps=4), guidance=1.5, frames=frames
        )
        assert motions.shape == (5, frames or 61, 3) and motions.isfinite().all()
        assert labels == ["b"] * 5


def test_a_shorter_motion_knows_nothing_of_the_window() -> None:
    """The length reaches the network: it is not a longer motion that was cut."""
    generator = _frames_generator()
    short, whole = (generator.sample(4, "a", frames=frames)[0] for frames in (40, None))
    assert not torch.allclose(short, whole[:, :40], atol=1e-3)


def test_guidance_moves_towards_the_label() -> None:
    generator = _frames_generator()
    plain, none, far = (
        generator.sample(4, "a", sampler=Sampler(name="ddim", steps=2), guidance=w)[0]
        for w in (0.0, 1e-9, 4.0)
    )
    assert torch.allclose(plain, none, atol=1e-4)
    assert not torch.allclose(plain, far, atol=1e-2)


def test_text_is_heard_and_no_louder_than_norm_one() -> None:
    generator = _frames_generator(text=4)
    words = torch.tensor([0.5, -0.5, 0.5, 0.5])
    none, spoken, loud = (generator.sample(3, "a", text=text)[0] for text in (None, words, 1000 * words))
    assert not torch.allclose(none, spoken, atol=1e-3)
    assert torch.allclose(spoken, loud, atol=1e-4)
    each = generator.sample(3, "a", text=words.expand(3, -1))[0]
    assert torch.equal(each, spoken)


def test_what_cannot_be_drawn_is_refused(generator: Generator) -> None:
    frames = _frames_generator()
    with pytest.raises(InputError, match="frames is 45: all motions of this generator have 60 frames"):
        generator.sample(1, frames=45)
    for length in (39, 62, 0):
        with pytest.raises(InputError, match=f"frames is {length}: it must be from 40 to 61"):
            frames.sample(1, frames=length)
    with pytest.raises(InputError, match="this generator takes no text"):
        frames.sample(1, text=torch.ones(4))
    with pytest.raises(InputError, match="a text of 3 numbers: this generator takes 4"):
        _frames_generator(text=4).sample(1, text=torch.ones(3))
    for weight in (-1.0, 21.0, float("nan")):
        with pytest.raises(InputError, match=r"guidance is .*: it must be from 0 to 20"):
            frames.sample(1, guidance=weight)
