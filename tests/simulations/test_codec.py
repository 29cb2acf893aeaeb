"""The codec of a simulation: by name, by default, and what does not fit is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from client.datasets import DataOptions, open_data_set
from common.errors import InputError
from common.generator.codec_file import read_codec, write_codec
from common.generator.codecs import PublicMotions, fit_codec
from common.motion.features import from_features, to_features
from common.motion.population import ACTIONS, PRIVATE
from common.motion.recording import SKELETON
from simulations.codec import make_codec, packaged, public_origin, read_vae
from simulations.config import Simulation
from simulations.prepare import data_options, open_people
from simulations.public_corpus import public_corpus
from simulations.train_vae import Training, train
from tests.common.people import crowd


def _small(**settings: object) -> Simulation:
    return Simulation.model_validate({"people": 4, "public_people": 100, "latent": 8, **settings})


@pytest.mark.parametrize("kind", ["pca", "identity", "vae"])
def test_each_kind_is_made_for_the_data(kind: str) -> None:
    config = _small(codec=kind, window=40)
    data = open_people(config)
    public = public_corpus(config, data)
    assert public is not None
    origin = public_origin(None, 0, 100, 4)
    motions = PublicMotions(public.windows, public.labels, data.labels, origin)
    codec = make_codec(config, data.modality, data.labels, motions)
    assert codec.kind == kind
    assert codec.modality.window == 40 and codec.labels == data.labels
    told = codec.description()["public_origin"]
    assert told is not None and "procedural people" in told
    assert kind == "vae" or told == origin


def test_the_packaged_vae_brings_unseen_people_back() -> None:
    """People of the private population, of whom it has seen none; its file stays small."""
    codec = read_vae()
    windows, labels = crowd(PRIVATE, 5, 20)
    latents = codec.encode(windows, labels)
    back = codec.decode(latents, labels, torch.Generator())
    pose = [to_features(torch.cat([joints, joints[:, -1:]], dim=1))[..., 4:].unflatten(-1, (21, 3))
            for joints in (from_features(to_features(windows)), back)]  # fmt: skip
    assert (pose[0] - pose[1]).norm(dim=-1).mean() < 0.03
    assert 0.5 < latents.std() < 2
    assert packaged().stat().st_size < 5e6


def test_training_lowers_the_error_and_is_repeatable() -> None:
    windows, labels = crowd(PRIVATE, 6, 20)
    short, same, long = (
        train(windows, Training(steps), sha256="0" * 64, origin="test") for steps in (2, 2, 60)
    )
    assert all(torch.equal(value, same.arrays()[name]) for name, value in short.arrays().items())
    real = from_features(to_features(windows))
    errors = [
        (codec.decode(codec.encode(windows, labels), labels, torch.Generator()) - real).square().mean()
        for codec in (short, long)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_a_codec_comes_back_from_its_file(tmp_path: Path) -> None:
    codec = read_vae()
    write_codec(codec, tmp_path / "vae.safetensors")
    config = _small(codec="vae", codec_file=tmp_path / "vae.safetensors")
    again = make_codec(config, SKELETON, ACTIONS, None)
    assert again.labels == ACTIONS
    assert all(torch.equal(value, codec.arrays()[name]) for name, value in again.arrays().items())


def test_what_is_no_vae_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no tensors")
    write_codec(fit_codec("identity", None, SKELETON, ACTIONS, 8), tmp_path / "identity.safetensors")
    for name, said in (
        ("text", "holds no codec"),
        ("identity", "of kind identity"),
        ("none", "holds no codec"),
    ):
        with pytest.raises(InputError, match=said):
            read_vae(tmp_path / f"{name}.safetensors")
    assert read_codec(tmp_path / "identity.safetensors").kind == "identity"


def test_a_file_of_weights_goes_with_the_vae_only() -> None:
    with pytest.raises(ValueError, match="set codec = vae"):
        _small(codec="pca", codec_file="x.safetensors")


def test_too_small_a_public_corpus_is_refused() -> None:
    config = _small(latent=500, public_people=100, motions=1)
    data = open_people(config)
    public = public_corpus(config, data)
    assert public is not None
    with pytest.raises(InputError, match="100 windows, too few for a codec of 500"):
        make_codec(
            config,
            data.modality,
            data.labels,
            PublicMotions(public.windows, public.labels, data.labels, "few"),
        )


def test_a_window_of_another_length_reaches_simulation_and_site() -> None:
    config = _small(window=90)
    assert open_people(config).modality.window == 90
    assert open_data_set(None, data_options(config)).modality.window == 90
    assert open_data_set(None, DataOptions()).modality == SKELETON


def test_a_window_is_no_setting_of_sensors(tmp_path: Path) -> None:
    (tmp_path / "s01_01_sw.csv").write_text("")
    with pytest.raises(InputError, match=r"window 90 is for skeletons: sensors.toml"):
        open_data_set(tmp_path, DataOptions(window=90))
