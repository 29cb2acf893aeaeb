"""The part of a denoiser that is trained in private: the right names, the same function, any engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from client.clipping.choice import choose
from client.clipping.step import Examples, Step
from client.speed import Engine, Speed
from common.errors import InputError
from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser, Level, Network, Parameters
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.transformer import Transformer
from common.generator.denoisers.unet import UNet
from common.generator.trainable import CHOICES, Trainable, part, supported, with_low_rank
from common.vector import Layout
from tests.clipping import rows_of

FRAMES, WIDTH, LABELS, UNITS, MOTIONS = 5, 6, 3, 4, 2
SHAPE: dict[str, Any] = {"labels": LABELS, "frames": FRAMES, "channels": WIDTH}
MLP = ResidualMLP(**SHAPE, width=8, depth=2)
TRANSFORMER = Transformer(**SHAPE, width=8, depth=1, heads=2, feed=2)
UNET = UNet(**SHAPE, width=16, depth=1)
DENOISERS: dict[str, Denoiser] = {"mlp": MLP, "transformer": TRANSFORMER, "unet": UNET}
CASES = [
    (name, train) for name, network in DENOISERS.items() for train in supported(network.shapes())
]  # fmt: skip
each = pytest.mark.parametrize(("network", "train"), CASES)


def somewhere(values: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: value + 0.3 * torch.randn(value.shape, generator=random) for name, value in values.items()}


def trainable(network: str, train: str, rank: int = 2) -> Trainable:
    denoiser = DENOISERS[network]
    base = somewhere(denoiser.init(0), 1)
    return Trainable(denoiser, with_low_rank(base, rank, 0) if train == "lora" else base, train, rank)


def drawn(units: int = UNITS) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(2)
    place = (units, MOTIONS)
    return {
        "x": torch.randn(*place, FRAMES * WIDTH, generator=random),
        "y": torch.randn(*place, FRAMES * WIDTH, generator=random),
        "c_noise": torch.randn(place, generator=random) * 0.2,
        "labels": torch.randint(LABELS + 1, place, generator=random),
    }


@dataclass(frozen=True, eq=False)
class Fitting:
    """The mean square between F and what is wanted."""

    name: ClassVar[str] = "fitting"
    denoiser: Network

    def loss(self, parameters: Mapping[str, Tensor], examples: Examples) -> Tensor:
        condition = Condition.of(examples["labels"], FRAMES)
        noise = examples["c_noise"]
        level = Level(noise, torch.ones_like(noise), torch.ones_like(noise))
        found = self.denoiser.apply(parameters, examples["x"], level, condition)
        each: Tensor = (found - examples["y"]).square().mean(dim=(1, 2))
        return each


@each
def test_the_start_is_the_base_to_the_bit(network: str, train: str) -> None:
    chosen = trainable(network, train)
    whole = chosen.merged(chosen.init(0))
    assert whole.keys() == chosen.denoiser.init(0).keys()
    assert all(torch.equal(value, chosen.base[name]) for name, value in whole.items())


@each
def test_the_part_gives_what_the_merged_whole_gives(network: str, train: str) -> None:
    chosen = trainable(network, train)
    parameters = somewhere(chosen.init(0), 3)
    alone = Fitting(chosen).loss(parameters, drawn())
    whole = Fitting(chosen.denoiser).loss(chosen.merged(parameters), drawn())
    assert torch.allclose(alone, whole, rtol=1e-5)
    assert not torch.allclose(whole, Fitting(chosen.denoiser).loss(chosen.base, drawn()), rtol=1e-3)


@each
@pytest.mark.parametrize("engine", ["keep", "ghost", "vmap", "opacus"])
def test_an_engine_agrees_with_the_loop(network: str, train: str, engine: Engine) -> None:
    """`choose` raises unless it does; book-keeping folds every parameter, so that none falls back."""
    chosen = trainable(network, train)
    parameters = somewhere(chosen.init(0), 3)
    step = Step(Fitting(chosen), Layout.of(parameters))
    found = choose(step, parameters, drawn, Speed(engine=engine, units=UNITS)).compute
    loop = choose(step, parameters, drawn, Speed(engine="loop", units=UNITS)).compute
    rows, expected = (rows_of(compute(parameters, drawn()), UNITS) for compute in (found, loop))
    assert float((rows - expected).norm()) <= 1e-5 * float(expected.norm())
    assert getattr(found, "_rest", frozenset()) == frozenset()


def test_a_frozen_network_takes_no_memory_for_each_unit() -> None:
    """As many units fit at once however wide the weights are that nobody trains."""
    wide = ResidualMLP(**SHAPE, width=512, depth=2)
    chosen = Trainable(wide, wide.init(0), "bias_norm", 1)
    parameters = chosen.init(0)
    step = Step(Fitting(chosen), Layout.of(parameters))
    assert sum(value.nbytes for value in chosen.base.values()) > 2**21
    assert max(choose(step, parameters, drawn, Speed(units=16, memory=2**21)).widths) == 16


def gradient(denoiser: Network, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    parts = torch.autograd.grad(Fitting(denoiser).loss(leaves, drawn()).sum(), list(leaves.values()))
    return dict(zip(leaves, parts, strict=True))


@pytest.mark.parametrize("network", ["mlp", "transformer"])
def test_lora_of_full_rank_is_training_the_weights(network: str) -> None:
    """A square and orthonormal: a step on B moves W = W0 + B A as a step on W, and norms are the same."""
    chosen = trainable(network, "lora", rank=8)
    start, whole = chosen.init(0), gradient(chosen.denoiser, chosen.merged(chosen.init(0)))
    found = gradient(chosen, start)
    moved = chosen.merged({name: start[name] - 0.1 * g for name, g in found.items()})
    for name in (b.removesuffix(".B") for b in found):
        assert torch.allclose(found[f"{name}.B"].norm(), whole[name].norm(), rtol=1e-4)
        assert torch.allclose(moved[name], chosen.base[name] - 0.1 * whole[name], atol=1e-5)


def test_control_a_factor_that_is_not_orthonormal_is_not_training_the_weights() -> None:
    chosen = trainable("mlp", "lora", rank=8)
    base = {n: v * 1.5 if n.endswith(".A") else v for n, v in chosen.base.items()}
    stretched = Trainable(MLP, base, "lora", 8)
    found = gradient(stretched, stretched.init(0))["block0.weight.B"].norm()
    assert not torch.allclose(
        found, gradient(MLP, stretched.merged(stretched.init(0)))["block0.weight"].norm()
    )


def test_what_lora_releases_is_linear_in_b() -> None:
    """Noise on B adds to W as noise times A, whatever B is: A never moves, so no two noises multiply."""
    chosen = trainable("transformer", "lora")
    b, noise = somewhere(chosen.init(0), 4), somewhere(chosen.init(0), 5)
    noised = chosen.merged({name: b[name] + noise[name] for name in b})
    for name in (n.removesuffix(".B") for n in b):
        added = noised[name] - chosen.merged(b)[name]
        assert torch.allclose(added, noise[f"{name}.B"] @ chosen.base[f"{name}.A"], atol=1e-6)


def test_parts_are_told_by_name() -> None:
    mlp, transformer, unet = (network.shapes() for network in (MLP, TRANSFORMER, UNET))
    assert part(mlp, "lora") == ("block0.weight", "block1.weight")
    assert part(mlp, "bias_norm") == ("block0.bias", "block1.bias", "input.bias", "noise.bias")
    assert part(mlp, "condition") == (
        "label.weight", "noise.bias", "noise.weight", "scale.weight", "shift.weight",
    )  # fmt: skip
    assert part(transformer, "lora") == tuple(f"block0.attention.{n}.weight" for n in ("k", "out", "q", "v"))
    assert len(part(transformer, "attention")) == 8 and "label.weight" in part(transformer, "condition")
    assert {"block0.norm1.weight", "block0.norm1.bias", "block0.attention.q.bias"} < set(
        part(transformer, "bias_norm")
    )
    assert supported(transformer) == CHOICES
    assert supported(mlp) == tuple(train for train in CHOICES if train != "attention")
    assert all(".film." in name or not name.startswith("mid") for name in part(unet, "condition"))


def broken(name: str, value: Tensor | None) -> dict[str, Tensor]:
    base = MLP.init(0)
    return {n: v for n, v in {**base, name: value}.items() if v is not None}


@pytest.mark.parametrize(
    ("base", "train", "message"),
    [
        ({}, "lora", "train = lora needs public parameters.*fedmotion pretrain.*pretrained = PATH"),
        (MLP.init(0), "attention", "no such parameters; choose from all, lora, bias_norm, condition"),
        (MLP.init(0), "lora", r"lacks block0.weight.A"),
        (broken("output.weight", None), "all", "lacks output.weight"),
        (broken("extra", torch.zeros(1)), "all", "has an unknown extra"),
        (broken("input.bias", torch.zeros(9)), "bias_norm", r"input.bias.*\[9\].*\[8\]"),
        (broken("input.bias", torch.zeros(8, dtype=torch.float64)), "all", "torch.float64"),
        (broken("input.bias", torch.full((8,), torch.nan)), "all", "input.bias.*not finite"),
    ],
)
def test_a_base_of_another_denoiser_is_refused(base: dict[str, Tensor], train: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Trainable(MLP, base, train, 2).init(0)


def test_a_rank_above_a_layers_width_is_refused() -> None:
    with pytest.raises(InputError, match=r"rank is 9, and block0\.weight has 8 inputs"):
        with_low_rank(MLP.init(0), 9, 0)


def test_a_weight_used_by_anything_but_a_linear_layer_is_no_silent_zero() -> None:
    class Tied(Transformer):
        def apply(self, parameters: Parameters, x: Tensor, level: Level, condition: Condition) -> Tensor:
            return x + torch.stack([parameters["block0.attention.q.weight"]])[0].sum()

    tied = Tied(**SHAPE, width=8, depth=1, heads=2, feed=2)
    chosen = Trainable(tied, with_low_rank(tied.init(0), 2, 0), "lora", 2)
    with pytest.raises(TypeError, match="LoRA"):
        Fitting(chosen).loss(chosen.init(0), drawn())
