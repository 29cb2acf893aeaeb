"""One step of per-person clipping against the same step without privacy, and against a loop over people."""

from __future__ import annotations

import torch
from rich.table import Table
from torch import Tensor

from client.clipping import clip_rows, per_unit_gradients
from common.generator.sensor_codec import SensorCodec
from common.method import UserBatch
from common.methods.dp_sgd import DPSGD
from common.motion.sensors import SENSOR
from common.noise import PersonRandom
from common.vector import Layout
from simulations.benchmarks.timing import medians

_ROWS = ((64, 16), (64, 64), (64, 256), (256, 64))  # (people, width)
_LABELS = ("a", "b", "c", "d", "e", "f")
_REPEATS = 7


def table() -> Table:
    """CPU time over the step without privacy; one person has 4 sequences x 8 noise draws."""
    result = Table(title="clipping: CPU time / step without privacy, one thread")
    for name in ("people", "parameters", "ours (vmap)", "loop over people", "step without privacy, ms"):
        result.add_column(name, justify="right")
    for people, width in _ROWS:
        result.add_row(*_row(people, width))
    return result


def _row(people: int, width: int) -> list[str]:
    method = DPSGD(codec=SensorCodec(SENSOR, _LABELS), width=width)
    users = UserBatch(
        latents=torch.randn(people, method.motions, method.codec.latent),
        labels=torch.randint(0, len(_LABELS), (people, method.motions)),
        mask=torch.ones(people, method.motions, dtype=torch.bool),
    )
    examples = method.examples(users, PersonRandom(bytes(32), [str(number) for number in range(people)]))
    parameters = method.parameters(method.init(0))
    layout = Layout.of(parameters)

    def plain(part: dict[str, Tensor]) -> Tensor:
        values = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        gradients = torch.autograd.grad(method.loss(values, part).mean(), list(values.values()))
        return layout.flatten(dict(zip(values, gradients, strict=True)))

    def ours() -> Tensor:
        return clip_rows(per_unit_gradients(method, parameters)(examples), 1.0).sum(dim=0)

    def loop() -> Tensor:
        rows = [plain({n: v[user : user + 1] for n, v in examples.items()}) for user in range(people)]
        return clip_rows(torch.stack(rows), 1.0).sum(dim=0)

    spent = medians({"plain": lambda: plain(examples), "ours": ours, "loop": loop}, _REPEATS)
    ratios = [f"{spent[name] / spent['plain']:.2f}" for name in ("ours", "loop")]
    return [str(people), f"{method.dimension:,}", *ratios, f"{spent['plain'] * 1e3:.1f}"]
