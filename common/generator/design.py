"""The public hyper-parameters of a generator, shared by all methods that train one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.denoisers import KINDS
from common.generator.denoisers.denoiser import Denoiser, Network
from common.generator.denoisers.image_unet import ImageUNet
from common.generator.denoisers.mlp import ResidualMLP
from common.generator.denoisers.transformer import Transformer
from common.generator.denoisers.unet import UNet
from common.generator.diffusion import PARAMETERISATIONS, WEIGHTINGS, Diffusion
from common.generator.geometry import Geometry
from common.generator.noise_levels import NOISE_LEVELS, NoiseLevels
from common.generator.objective import Objective
from common.motion.recording import what_of


def number(default: float, low: float, high: float) -> Any:
    """A hyper-parameter with the range that `common.methods.build` accepts."""
    return field(default=default, metadata={"low": low, "high": high})


def choice(default: str, *choices: str) -> Any:
    """A hyper-parameter that is one of `choices`."""
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True, kw_only=True)
class Design:
    """What the network is, what its output means, and what it is trained on.

    `denoiser`: `mlp` over whole latents; `unet` or `transformer` over frames; `unet2d` over pixels.
    `width`, `depth`: of the network (mlp: residual blocks; U-Nets: halvings; transformer: layers).
    `heads`, `feed`, `norm_order`: of a transformer (hidden values over width; norms before or, as MDM,
    after).
    `parameterisation`: a row of `diffusion.TABLE`. `noise_levels`: p(sigma) in training, `default`
    the row's own; `P_mean`, `P_std` of ln sigma where lognormal, `diffusion_steps` where cosine.
    `weighting`: of the loss over sigma. `label_dropout`: share of sequences trained without
    condition, for guidance. `geometric`: weight of the losses of velocity and foot contact.
    """

    training: ClassVar[frozenset[str]] = frozenset(
        ("noise_levels", "P_mean", "P_std", "diffusion_steps", "weighting", "label_dropout", "geometric")
    )
    """Options with which the same parameters may be trained on: they mean the same under others."""

    denoiser: str = choice("mlp", *KINDS)
    width: int = number(32, 1, 2048)
    depth: int = number(1, 0, 16)
    heads: int = number(4, 1, 64)
    feed: int = number(2, 1, 8)
    norm_order: str = choice("before", "before", "after")
    parameterisation: str = choice("edm", *PARAMETERISATIONS)
    noise_levels: str = choice("default", "default", *NOISE_LEVELS)
    P_mean: float = number(0.0, -5.0, 5.0)
    P_std: float = number(1.2, 0.01, 5.0)
    diffusion_steps: int = number(1000, 2, 10_000)
    weighting: str = choice("default", *WEIGHTINGS)
    label_dropout: float = number(0.1, 0.0, 0.9)
    geometric: float = number(0.0, 0.0, 100.0)

    @property
    def diffusion(self) -> Diffusion:
        return Diffusion(self.parameterisation, self.weighting)

    def denoiser_of(self, assets: Assets, text: int = 0) -> Denoiser:
        """The network over the latents of `assets`; `text` is the size of embedded sentences.

        InputError where there is no such network, or it would be too large.
        """
        codec = assets.codec
        if self.geometric:
            Geometry.of(codec)
        shared: dict[str, Any] = {"labels": len(codec.labels), "text": text}
        shared |= {"frames": codec.frames, "channels": codec.channels}
        shared |= {"width": self.width, "depth": self.depth}
        if self.denoiser == ResidualMLP.kind:
            return ResidualMLP(**shared).checked()
        if codec.frames == 1:
            raise InputError(
                f"denoiser = {self.denoiser} works on frames, and latents of codec {codec.kind} have none:"
                f" set denoiser = {ResidualMLP.kind}"
            )
        if self.denoiser == ImageUNet.kind:
            if codec.modality.kind != "image":
                raise InputError(
                    f"denoiser = {self.denoiser} works on images, and these are {what_of(codec.modality)}:"
                    f" set denoiser = {UNet.kind}"
                )
            return ImageUNet(**shared).checked()
        if self.denoiser == UNet.kind:
            return UNet(**shared).checked()
        order = self.norm_order == "before"
        return Transformer(**shared, heads=self.heads, feed=self.feed, norm_first=order).checked()

    def objective_of(self, assets: Assets, denoiser: Network, replicas: int) -> Objective:
        """The loss by which `denoiser` is trained, at `replicas` noise levels a sequence."""
        row = self.diffusion.preconditioning
        kind = row.noise_levels if self.noise_levels == "default" else self.noise_levels
        return Objective(
            denoiser=denoiser,
            diffusion=self.diffusion,
            noise_levels=NoiseLevels(kind, self.P_mean, self.P_std, self.diffusion_steps),
            replicas=replicas,
            geometric=self.geometric,
            geometry=Geometry.of(assets.codec) if self.geometric else None,
        )
