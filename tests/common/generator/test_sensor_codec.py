"""The sensor codec: physical units in, the slow part of the signal out, nothing fitted."""

from __future__ import annotations

import pytest
import torch

from common.errors import InputError
from common.generator.codecs import load_codec
from common.generator.sensor_codec import SensorCodec
from common.motion.recording import Modality

CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")
WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=CHANNELS)
CODEC = SensorCodec(WATCH, ("walk", "sit"))
LABELS = torch.zeros(10, dtype=torch.int64)


def _random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_still_watch_reads_one_gravity() -> None:
    windows = torch.zeros(10, 64, 6)
    windows[:, :, 2] = 9.81
    latents = CODEC.encode(windows, LABELS)
    assert CODEC.latent == latents.shape[1] == 36
    assert torch.allclose(latents[:, 2], torch.full((10,), 3**0.5), atol=1e-5)
    assert latents.abs().sum() == pytest.approx(10 * 3**0.5, rel=1e-4)


def test_slow_signals_come_back_exactly() -> None:
    latents = torch.randn(10, 36, generator=_random())
    windows = CODEC.decode(latents, LABELS, _random())
    assert windows.shape == (10, 64, 6)
    assert torch.allclose(CODEC.encode(windows, LABELS), latents, atol=1e-4)


def test_it_needs_no_public_data_and_travels() -> None:
    assert CODEC.arrays() == {}
    assert CODEC.description()["public_sha256"] is None
    assert load_codec({}, CODEC.description()).description() == CODEC.description()
    assert CODEC.label_prior().tolist() == [0.5, 0.5, 0.0]
    assert SensorCodec(WATCH, ()).label_prior().tolist() == [1.0]


def test_unknown_channel_and_wrong_window_are_refused() -> None:
    odd = Modality(kind="sensor", rate=50.0, window=64, channels=("pressure",))
    with pytest.raises(InputError, match="'pressure' is neither"):
        SensorCodec(odd, ())
    with pytest.raises(ValueError, match="expected windows"):
        CODEC.encode(torch.zeros(2, 60, 6), LABELS[:2])
