"""The public codec of images: what it keeps, what it loses, and that it is fitted on nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.codecs import fit_codec, load_codec
from common.generator.design import Design
from common.generator.image_codec import ImageCodec
from common.motion.image import BRIGHTNESS, CONTRAST, image_modality

LABELS = ("a", "b")
MODALITY = image_modality(28, 28)
CODEC = ImageCodec(MODALITY, LABELS)


def smooth(count: int) -> torch.Tensor:
    """Images of the frequencies that are kept, with room to 0 and 1."""
    latents = torch.randn(count, CODEC.latent, generator=torch.Generator().manual_seed(0)) * 0.2
    return CODEC.decode(latents + 0.0, torch.zeros(count, dtype=torch.int64), torch.Generator())


def test_what_is_smooth_survives_and_what_is_fine_is_lost() -> None:
    labels, images = torch.zeros(5, dtype=torch.int64), smooth(5) * 0.3 + 0.4
    again = CODEC.decode(CODEC.encode(images, labels), labels, torch.Generator())
    kept = CODEC.decode(CODEC.encode(again, labels), labels, torch.Generator())
    assert torch.allclose(kept, again, atol=2e-3), "within 0..1, decoding and encoding is a projection"
    board = torch.from_numpy(np.indices((28, 28)).sum(axis=0) % 2).float()[None]
    flat = CODEC.decode(CODEC.encode(board, labels[:1]), labels[:1], torch.Generator())
    assert float((flat - 0.5).abs().max()) < 0.2, "a checkerboard of single pixels becomes grey"


def test_latents_are_of_order_one_for_pixels_as_expected() -> None:
    """Noise whose spectrum falls as 1/f, of the deviation that is expected, has unit latents."""
    whole = ImageCodec(MODALITY, LABELS, kept=28)
    latents = torch.randn(400, 784, generator=torch.Generator().manual_seed(1))
    basis, _ = whole._bases
    pixels = torch.einsum("ru,nuv,cv->nrc", basis, latents.unflatten(1, (28, 28)) * whole._scales, basis)
    assert abs(float(pixels.std()) / CONTRAST - 1) < 0.05
    found = CODEC.encode(pixels + BRIGHTNESS, torch.zeros(400, dtype=torch.int64))
    assert abs(float(found.std()) - 1) < 0.02


def test_it_is_rebuilt_from_its_description_alone() -> None:
    again = load_codec(CODEC.arrays(), CODEC.description())
    assert isinstance(again, ImageCodec) and again.description() == CODEC.description()
    made = fit_codec("image", None, MODALITY, LABELS, 32)
    assert isinstance(made, ImageCodec) and made.description()["public_sha256"] is None
    for change in ({"kept": 29}, {"kept": 0}, {"modality": {**CODEC.description()["modality"], "kind": "x"}}):
        with pytest.raises(InputError):
            load_codec({}, {**CODEC.description(), **change})


@pytest.mark.parametrize(("kind", "said"), [("structured", "not for image data"), ("sensor", "image, pca")])
def test_codecs_of_motion_are_refused_by_name(kind: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_codec(kind, None, MODALITY, LABELS, 32)


def test_pixels_are_an_identity_codec_and_a_picture_for_the_2d_unet() -> None:
    codec = fit_codec("identity", None, MODALITY, LABELS, 32)
    assert (codec.latent, codec.frames) == (784, 28)
    images = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(2))
    labels = torch.zeros(3, dtype=torch.int64)
    assert torch.allclose(
        codec.decode(codec.encode(images, labels), labels, torch.Generator()), images, atol=1e-6
    )
    unet = Design(denoiser="unet2d", width=16, depth=2)
    assert unet.denoiser_of(Assets(codec)).description()["kind"] == "unet2d"
    with pytest.raises(InputError, match="set denoiser = mlp"):
        unet.denoiser_of(Assets(CODEC))
