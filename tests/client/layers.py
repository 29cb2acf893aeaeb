"""Small networks, one for each kind of layer, over people with different numbers and lengths of motions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTH, FRAMES, MOTIONS, WORDS = 6, 7, 3, 5
Network = Callable[[Mapping[str, Tensor], Tensor, Tensor], Tensor]
"""Parameters, `x` `[units, MOTIONS, FRAMES, WIDTH]`, labels `[units, MOTIONS]` to an output."""


@dataclass(frozen=True, eq=False)
class Layered:
    """The masked mean square of a network's output, over a unit's motions and their frames."""

    name: ClassVar[str] = "layered"

    shapes: Mapping[str, tuple[int, ...]]
    network: Network

    def parameters(self, seed: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(seed)
        return {n: torch.randn(s, generator=random, dtype=torch.float64) for n, s in self.shapes.items()}

    def loss(self, parameters: Mapping[str, Tensor], examples: Mapping[str, Tensor]) -> Tensor:
        mask = examples["mask"]  # [units, MOTIONS, FRAMES]
        found = self.network(parameters, examples["x"], examples["labels"])
        each = found.reshape(*mask.shape, -1).square().mean(dim=-1)
        kept = torch.where(mask, each, torch.zeros_like(each)).flatten(start_dim=1)
        return kept.sum(dim=1) / mask.flatten(start_dim=1).sum(dim=1).clamp_min(1)


def examples(units: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> dict[str, Tensor]:
    """People with 1 to MOTIONS motions of 2 to FRAMES frames."""
    random = torch.Generator().manual_seed(seed)
    motions = torch.randint(1, MOTIONS + 1, (units, 1, 1), generator=random)
    frames = torch.randint(2, FRAMES + 1, (units, MOTIONS, 1), generator=random)
    mask = (torch.arange(MOTIONS)[:, None] < motions) & (torch.arange(FRAMES) < frames)
    return {
        "x": torch.randn(units, MOTIONS, FRAMES, WIDTH, generator=random).to(dtype),
        "labels": torch.randint(WORDS, (units, MOTIONS), generator=random),
        "mask": mask,
    }


def _linear(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    return F.linear(F.silu(F.linear(x, p["a"], p["b"])), p["c"])


def _layer_norm(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    return F.linear(F.layer_norm(F.linear(x, p["a"]), (WIDTH,), p["scale"], p["shift"]), p["a"])


def _embedding(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    return F.silu(x + F.embedding(labels, p["table"])[:, :, None])


def _folded(x: Tensor) -> Tensor:
    return x.flatten(end_dim=1).transpose(1, 2)  # [units * MOTIONS, WIDTH, FRAMES]


def _conv1d(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    hidden = F.silu(F.conv1d(_folded(x), p["a"], p["b"], padding=2, dilation=2))
    return F.conv1d(hidden, p["c"], None, 1, 1).transpose(1, 2)


def _strided(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    halved = F.conv1d(_folded(x), p["a"], p["b"], stride=2, padding=1)
    return F.interpolate(halved, FRAMES).transpose(1, 2)


def _group_norm(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    return F.group_norm(F.conv1d(_folded(x), p["a"]), 2, p["scale"], p["shift"]).transpose(1, 2)


def _attention(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    q, k, v = (
        F.linear(x, p[name]).reshape(-1, FRAMES, 2, WIDTH // 2).transpose(1, 2) for name in ("q", "k", "v")
    )
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return F.linear(mixed.reshape(x.shape), p["out"], p["bias"])


def _tied(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """One table read as an embedding and used as the last linear layer."""
    hidden = torch.tanh(x + F.embedding(labels, p["table"])[:, :, None])
    return F.linear(hidden, p["table"])


def _reused(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """One layer, applied to frames and then to motions' means."""
    hidden = torch.tanh(F.linear(x, p["a"], p["b"]))
    return hidden + F.linear(hidden.mean(dim=2), p["a"], p["b"])[:, :, None]


def _lora(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    frozen = torch.eye(WIDTH, dtype=x.dtype)
    return F.linear(x, frozen) + F.linear(F.linear(x, p["down"]), p["up"])


def _broadcast(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """Parameters that are added, multiplied, subtracted and divided by."""
    return (torch.tanh(x * p["scale"] + p["position"]) - p["shift"]) / p["unit"]


def _matmul(p: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """An operation without a rule beside one that has one."""
    return F.linear(torch.tanh(x @ p["a"]), p["b"])


SQUARE = (WIDTH, WIDTH)
NETWORKS: dict[str, Layered] = {
    "linear": Layered({"a": (8, WIDTH), "b": (8,), "c": (4, 8)}, _linear),
    "layer_norm": Layered({"a": SQUARE, "scale": (WIDTH,), "shift": (WIDTH,)}, _layer_norm),
    "embedding": Layered({"table": (WORDS, WIDTH)}, _embedding),
    "conv1d": Layered({"a": (4, WIDTH, 3), "b": (4,), "c": (WIDTH, 4, 3)}, _conv1d),
    "strided": Layered({"a": (4, WIDTH, 3), "b": (4,)}, _strided),
    "group_norm": Layered({"a": (4, WIDTH, 1), "scale": (4,), "shift": (4,)}, _group_norm),
    "attention": Layered(dict.fromkeys(("q", "k", "v", "out"), SQUARE) | {"bias": (WIDTH,)}, _attention),
    "tied": Layered({"table": (WORDS, WIDTH)}, _tied),
    "reused": Layered({"a": SQUARE, "b": (WIDTH,)}, _reused),
    "lora": Layered({"down": (2, WIDTH), "up": (WIDTH, 2)}, _lora),
    "broadcast": Layered(
        {"scale": (WIDTH,), "position": (FRAMES, WIDTH), "shift": (WIDTH,), "unit": (1,)}, _broadcast
    ),
    "matmul": Layered({"a": SQUARE, "b": (4, WIDTH)}, _matmul),
}
