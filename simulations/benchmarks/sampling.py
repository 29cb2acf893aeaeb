"""How many motions a second the denoisers draw, beside one of MDM's size that samples as MDM does.

Tevet et al., "Human motion diffusion model" (ICLR 2023): 8 layers of width 512, 4 heads, norms
after, x0 predicted, 50 ancestral steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Final

import torch
from rich.table import Table
from torch import Tensor

from common.generator.condition import Condition
from common.generator.denoisers.denoiser import Denoiser
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.transformer import Transformer
from common.generator.denoisers.unet import UNet
from common.generator.diffusion import Diffusion
from common.generator.samplers import Sampler, noise_levels
from simulations.benchmarks.timing import medians

_FRAMES, _CHANNELS, _LATENT, _LABELS = 60, 67, 32, 6
_REPEATS = 3
_AS_MDM: Final = Sampler(name="ddpm", steps=50)
_DEFAULT: Final = Sampler()
_FEW: Final = Sampler(name="dpm", steps=8)


@dataclass(frozen=True)
class _Row:
    """`count` motions at once; MDM first, as the rest is measured against it."""

    name: str
    network: Denoiser
    sampler: Sampler
    count: int
    diffusion: Diffusion = field(default_factory=Diffusion)

    @property
    def title(self) -> str:
        return f"{self.name}, {self.sampler.name} {self.sampler.steps}"

    def drawn(self) -> Callable[[], Tensor]:
        """Draws latents; decoding them is the codec's."""
        random, net = torch.Generator().manual_seed(0), self.network
        parameters = {n: v + 0.01 * torch.randn(v.shape) for n, v in net.init(0).items()}
        labels = torch.zeros(self.count, dtype=torch.int64)
        condition = Condition.of(labels, net.frames)
        row = self.diffusion.preconditioning
        levels = noise_levels(self.sampler.steps, row.sigma_min, row.sigma_max, row.spacing)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.diffusion.denoised(net, parameters, x, sigma.expand(self.count), condition)

        def call() -> Tensor:
            with torch.no_grad():
                return self.sampler.draw(denoise, (self.count, net.latent), levels, random)

        return call


def _rows() -> list[_Row]:
    def transformer(width: int, depth: int, norm_first: bool = True) -> Denoiser:
        return Transformer(
            labels=_LABELS,
            frames=_FRAMES,
            channels=_CHANNELS,
            width=width,
            depth=depth,
            norm_first=norm_first,
        )

    def mlp(width: int, depth: int) -> Denoiser:
        return ResidualMLP(labels=_LABELS, channels=_LATENT, width=width, depth=depth)

    unet = UNet(labels=_LABELS, frames=_FRAMES, channels=_CHANNELS, width=64, depth=2)
    mdm = transformer(512, 8, norm_first=False)
    rows = [_Row("transformer 8 x 512 (MDM)", mdm, _AS_MDM, 8, Diffusion("x0"))]
    for name, net in (
        ("transformer 4 x 128", transformer(128, 4)),
        ("transformer 2 x 64", transformer(64, 2)),
    ):
        rows += [_Row(name, net, sampler, 32) for sampler in (_AS_MDM, _DEFAULT, _FEW)]
    rows += [_Row("unet 64-128-128", unet, sampler, 32) for sampler in (_AS_MDM, _DEFAULT, _FEW)]
    for name, net in (("mlp 4 x 256", mlp(256, 4)), ("mlp 1 x 32 (the demo's)", mlp(32, 1))):
        rows += [_Row(name, net, sampler, 1024) for sampler in (_DEFAULT, _FEW)]
    return rows


def table() -> Table:
    """Motions a CPU second, one thread; the mlp draws whole latents, the others 60 frames of 67 features."""
    rows = _rows()
    spent = medians({row.title: row.drawn() for row in rows}, _REPEATS)
    result = Table(title="sampling: motions a CPU second, one thread")
    for heading in ("network, sampler", "parameters", "motions a second", "over MDM"):
        result.add_column(heading, justify="left" if heading.startswith("network") else "right")
    first = rows[0].count / spent[rows[0].title]
    for row in rows:
        speed = row.count / spent[row.title]
        size = sum(prod(shape) for shape in row.network.shapes().values())
        result.add_row(row.title, f"{size:,}", f"{speed:,.3g}", f"{speed / first:,.3g}")
    return result
