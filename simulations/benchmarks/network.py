"""The transformer that the clipping tables are measured on: MDM's shape over 67 features a frame.

Tevet et al., "Human motion diffusion model" (ICLR 2023): 8 layers of width 512, 4 heads and
1,024 hidden values, here with its number of layers and width open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from common.method import UserRandom

FEATURES = 67
_HIDDEN = 1024


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """Denoising loss of one person's `motions` sequences (replicas count as sequences) of `frames` frames."""

    name: ClassVar[str] = "transformer"

    layers: int
    width: int
    motions: int
    frames: int = 60
    heads: int = 4

    def init(self, seed: int) -> dict[str, Tensor]:
        """Random parameters by name."""
        random = torch.Generator().manual_seed(seed)
        shapes = {"input": (self.width, FEATURES), "time": (self.width, 1), "output": (FEATURES, self.width)}
        for layer in range(self.layers):
            shapes |= {f"{layer}.{part}": (self.width, self.width) for part in ("q", "k", "v", "out")}
            shapes |= {f"{layer}.up": (_HIDDEN, self.width), f"{layer}.down": (self.width, _HIDDEN)}
        arrays: dict[str, Tensor] = {}
        for name, (outputs, inputs) in shapes.items():
            arrays[f"{name}.weight"] = torch.randn(outputs, inputs, generator=random) / inputs**0.5
            arrays[f"{name}.bias"] = torch.zeros(outputs)
        for layer in range(self.layers):
            for norm in ("norm1", "norm2"):
                arrays[f"{layer}.{norm}.weight"] = torch.ones(self.width)
                arrays[f"{layer}.{norm}.bias"] = torch.zeros(self.width)
        return arrays

    def drawn(self, rng: UserRandom) -> dict[str, Tensor]:
        """Random sequences: time and memory do not depend on what moves in them."""
        shape = (self.motions, self.frames, FEATURES)
        return {"x": rng.normal(*shape), "c_noise": rng.normal(self.motions, 1, 1)}

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        x, c_noise = examples["x"], examples["c_noise"]

        def linear(name: str, value: Tensor) -> Tensor:
            return F.linear(value, parameters[f"{name}.weight"], parameters[f"{name}.bias"])

        def norm(name: str, value: Tensor) -> Tensor:
            return F.layer_norm(
                value, (self.width,), parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            )

        hidden = linear("input", x) + linear("time", c_noise)
        for layer in range(self.layers):
            inner = norm(f"{layer}.norm1", hidden)
            q, k, v = (self._split(linear(f"{layer}.{part}", inner)) for part in ("q", "k", "v"))
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(inner.shape)
            hidden = hidden + linear(f"{layer}.out", mixed)
            up = F.gelu(linear(f"{layer}.up", norm(f"{layer}.norm2", hidden)))
            hidden = hidden + linear(f"{layer}.down", up)
        return (linear("output", hidden) - x).square().flatten(start_dim=1).mean(dim=1)

    def _split(self, value: Tensor) -> Tensor:
        """`[units, S, T, width]` as `[units * S, heads, T, width / heads]`."""
        return value.reshape(-1, self.frames, self.heads, self.width // self.heads).transpose(1, 2)
