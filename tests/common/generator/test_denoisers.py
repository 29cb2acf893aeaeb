"""Denoisers: no motion depends on its padding, F = 0 at first, and conditions that cannot run away."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

import common.generator.denoisers.transformer as transformer
from common.errors import InputError
from common.generator.denoisers import from_description
from common.generator.denoisers.denoiser import Denoiser, Level
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.transformer import Transformer
from common.generator.denoisers.unet import UNet
from common.generator.diffusion import Diffusion, unpadded
from tests.common.generator.sequences import conditions, shaken

LENGTHS = [40, 41, 55, 61, 80, 97]
FRAMES, CHANNELS, TEXT = 97, 5, 4
NETS: dict[str, Denoiser] = {
    "mlp": ResidualMLP(labels=2, text=TEXT, frames=FRAMES, channels=CHANNELS, width=16, depth=2),
    "unet": UNet(labels=2, text=TEXT, frames=FRAMES, channels=CHANNELS, width=16, depth=2),
    "unet3": UNet(labels=2, text=TEXT, frames=FRAMES, channels=CHANNELS, width=16, depth=3),
    "before": Transformer(labels=2, text=TEXT, frames=FRAMES, channels=CHANNELS, width=16, depth=2),
    "after": Transformer(
        labels=2, text=TEXT, frames=FRAMES, channels=CHANNELS, width=16, depth=2, norm_first=False
    ),
}
SEQUENCES = ("unet", "unet3", "before", "after")
DIFFUSION = Diffusion()
CONDITION = conditions(LENGTHS, TEXT)


def _inputs() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(len(LENGTHS), FRAMES * CHANNELS, generator=random)
    return x, torch.exp(torch.randn(len(LENGTHS), generator=random))


def _denoised(net: Denoiser, x: Tensor) -> Tensor:
    return DIFFUSION.denoised(net, shaken(net.init(0)), x, _inputs()[1], CONDITION)


@pytest.mark.parametrize("name", NETS)
def test_nothing_in_the_padding_moves_a_motion(name: str) -> None:
    net, (x, _) = NETS[name], _inputs()
    garbage = torch.where(unpadded(torch.ones_like(x), CONDITION, net) == 1, x, torch.nan)
    found = _denoised(net, garbage)
    assert found.isfinite().all()
    assert torch.equal(found, _denoised(net, x))
    assert torch.equal(found, unpadded(found, CONDITION, net))


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_motion_is_the_same_whatever_the_window(name: str) -> None:
    """Padding to 97 frames, to 100 or to none at all: the motion's own frames come out alike."""
    net, x, sigma = NETS[name], *(part.double() for part in _inputs())
    parameters = {part: value.double() for part, value in shaken(net.init(0)).items()}
    condition = CONDITION._replace(text=CONDITION.text.double())
    found = DIFFUSION.denoised(net, parameters, x, sigma, condition)
    for row, length in enumerate(LENGTHS):
        for frames in (length, 100):
            other = replace(net, frames=frames)
            cut = torch.zeros(1, frames * CHANNELS, dtype=torch.float64)
            cut[0, : length * CHANNELS] = x[row, : length * CHANNELS]
            only = condition.at(torch.tensor([row]))
            alone = DIFFUSION.denoised(other, parameters, cut, sigma[row : row + 1], only)
            expected = found[row, : length * CHANNELS]
            assert torch.allclose(alone[0, : length * CHANNELS], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SEQUENCES)
def test_control_without_its_mask_padding_would_move_a_motion(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`frames` that all count as motion: the length of the window now shows in the frames before it."""
    net, (x, sigma) = NETS[name], _inputs()
    x = unpadded(x, CONDITION, net)
    whole = CONDITION._replace(lengths=torch.full_like(CONDITION.lengths, FRAMES))
    found = DIFFUSION.denoised(net, shaken(net.init(0)), x, sigma, whole)
    kept = unpadded(torch.ones_like(x), CONDITION, net) == 1
    assert not torch.allclose(found[kept], _denoised(net, x)[kept], atol=1e-3)


@pytest.mark.parametrize("name", NETS)
def test_a_new_network_is_zero_and_follows_its_seed(name: str) -> None:
    net, (x, sigma) = NETS[name], _inputs()
    first, same, other = net.init(4), net.init(4), net.init(5)
    assert all(torch.equal(first[part], same[part]) for part in first)
    assert not torch.equal(first["input.weight"], other["input.weight"])
    assert {part: tuple(value.shape) for part, value in first.items()} == net.shapes()
    full = CONDITION._replace(lengths=torch.full_like(CONDITION.lengths, FRAMES))
    found = DIFFUSION.denoised(net, first, x, sigma, full)
    assert torch.allclose(found, x / (1 + sigma[:, None] ** 2), atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_text_label_and_noise_are_heard(name: str) -> None:
    net, (x, sigma) = NETS[name], _inputs()
    parameters = shaken(net.init(0))
    found = DIFFUSION.denoised(net, parameters, x, sigma, CONDITION)
    for other in (CONDITION._replace(text=-CONDITION.text), CONDITION.without(2)):
        assert not torch.allclose(DIFFUSION.denoised(net, parameters, x, sigma, other), found, atol=1e-4)
    silent = CONDITION._replace(text=torch.zeros_like(CONDITION.text))
    wordless = CONDITION._replace(text=torch.zeros(len(LENGTHS), 0))
    assert torch.equal(
        DIFFUSION.denoised(net, parameters, x, sigma, silent),
        DIFFUSION.denoised(net, parameters, x, sigma, wordless),
    )


@pytest.mark.parametrize("name", SEQUENCES)
def test_no_text_adds_no_parameter_and_axes_broadcast(name: str) -> None:
    net = replace(NETS[name], text=0)
    assert not [part for part in net.shapes() if part.startswith("text.")]
    (x, sigma), parameters = _inputs(), shaken(net.init(0))
    wordless = conditions(LENGTHS)
    found = DIFFUSION.denoised(net, parameters, x, sigma, wordless)
    grid = type(wordless)(*(part.unflatten(0, (2, 3)) for part in wordless))
    again = DIFFUSION.denoised(net, parameters, x.unflatten(0, (2, 3)), sigma.unflatten(0, (2, 3)), grid)
    assert torch.allclose(again.flatten(0, 1), found, atol=1e-5)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_condition_is_bounded_however_large_its_parameters(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (x, sigma) = NETS[name], _inputs()
    parameters = shaken(net.init(0))
    loud = {
        part: value * (1e4 if part.startswith(("label.", "text.")) else 1)
        for part, value in parameters.items()
    }
    plain, far = (DIFFUSION.denoised(net, part, x, sigma, CONDITION) for part in (parameters, loud))
    assert far.abs().max() < 20 * plain.abs().max()
    if name == "before":  # the control: the same without the bound, after which nothing else normalises
        monkeypatch.setattr(transformer, "bounded", lambda value: value)
        token = net._token(loud, _level(), CONDITION)  # type: ignore[attr-defined]
        assert token.norm(dim=-1).max() > 1e3


def _level() -> Level:
    zeros = torch.zeros(len(LENGTHS))
    return Level(zeros, zeros, zeros)


@pytest.mark.parametrize("name", NETS)
def test_a_description_rebuilds_the_denoiser(name: str) -> None:
    assert from_description(json.loads(json.dumps(NETS[name].description()))) == NETS[name]


def test_what_cannot_be_built_is_refused() -> None:
    told, unet = (
        NETS["before"].description(),
        partial(UNet, labels=2, frames=97, channels=5, width=16, depth=2),
    )
    with pytest.raises(InputError, match="unknown denoiser 'gan': this version knows mlp, unet, transformer"):
        from_description({**told, "kind": "gan"})
    with pytest.raises(InputError, match="multiple of twice the heads"):
        from_description({**told, "heads": 3})
    with pytest.raises(InputError, match="broken"):
        from_description({"kind": "unet"})
    with pytest.raises(InputError, match="at most 100,000,000"):
        from_description({**told, "width": 2**20})
    with pytest.raises(InputError, match="halves 97 frames from 1 to 4 times"):
        unet(depth=5)
    with pytest.raises(InputError, match="halves 5 frames from 1 to 2 times"):
        unet(depth=3, frames=5)
    with pytest.raises(InputError, match="multiple of 16"):
        unet(width=20)
    with pytest.raises(InputError, match="depth = 0"):
        from_description({**told, "depth": 0})
    with pytest.raises(InputError, match="know no text"):
        from_description({**NETS["mlp"].description(), "depth": 0})


def test_mdm_has_the_size_of_mdm() -> None:
    mdm = Transformer(labels=0, frames=196, channels=263, width=512, depth=8, text=512, norm_first=False)
    assert sum(torch.Size(shape).numel() for shape in mdm.shapes().values()) == pytest.approx(
        17.6e6, rel=0.02
    )
