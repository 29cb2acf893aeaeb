"""One step of per-person clipping against the same step without privacy, ours beside its peers.

Every row is one process in which all contenders take turns, so that a busy machine slows
them alike; peak memory is measured in a fresh process for each.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor

from client.clipping.step import PerUnitLoss
from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState, UserBatch
from common.methods.dp_sgd import DPSGD
from common.motion.sensors import SENSOR
from common.noise import PersonRandom
from simulations.benchmarks.contenders import OURS, PEERS, PLAIN, contender
from simulations.benchmarks.network import Transformer
from simulations.benchmarks.timing import medians

NAMES = (PLAIN, *OURS, *PEERS)
_NETWORKS = {"small": (4, 256), "large2": (2, 512), "large": (8, 512)}


@dataclass(frozen=True)
class Row:
    """A network, U people and SK sequences of each (replicas counted), 60 frames long."""

    network: str
    users: int
    sequences: int
    repeats: int

    @property
    def name(self) -> str:
        return f"{self.network} {self.users},{self.sequences}"


ROWS = (
    Row("default", 16, 32, 21),
    Row("small", 16, 1, 9),
    Row("small", 16, 8, 3),
    Row("small", 64, 8, 1),
    Row("large2", 16, 1, 7),
    Row("large2", 16, 4, 3),
    Row("large2", 16, 8, 2),
    Row("large", 16, 1, 3),
)


def table(rows: tuple[Row, ...] = ROWS) -> Table:
    """CPU time over the non-private step's, and peak memory in MB beneath it, on one thread."""
    result = Table(
        title=f"clipping: CPU time / non-private step; peak memory in MB (torch {torch.__version__})"
    )
    for name in ("network U,SK", "non-private", *OURS, *PEERS):
        result.add_column(name, justify="right")
    for row in rows:
        spent = _measured(row, "time", *NAMES)
        memory = [_measured(row, "memory", name)[name] for name in NAMES]
        ratios = [f"{spent[PLAIN] * 1e3:.3g} ms", *(f"{spent[n] / spent[PLAIN]:.2f}" for n in NAMES[1:])]
        result.add_row(row.name, *ratios)
        result.add_row("", *(f"{value:.0f} MB" for value in memory), end_section=True)
    return result


def _measured(row: Row, what: str, *names: str) -> dict[str, float]:
    """Seconds, or peak megabytes, of each of `names`, in a process of their own."""
    ask = json.dumps([ROWS.index(row), what, names])
    found = subprocess.run(
        [sys.executable, "-m", "simulations.benchmarks.clipping", ask], capture_output=True, check=True
    )
    values: dict[str, float] = json.loads(found.stdout)
    return values


def _method(row: Row) -> tuple[PerUnitLoss, dict[str, Tensor], dict[str, Tensor]]:
    """The loss, its parameters and examples."""
    people = PersonRandom(bytes(32), [str(number) for number in range(row.users)])
    if row.network == "default":
        codec = SensorCodec(SENSOR, ("a", "b", "c", "d", "e", "f"))
        dp_sgd = DPSGD(assets=Assets(codec))
        labels = torch.randint(0, len(codec.labels), (row.users, dp_sgd.motions))
        users = UserBatch(
            latents=torch.randn(row.users, dp_sgd.motions, codec.latent),
            condition=Condition.of(labels, codec.frames),
            mask=torch.ones(row.users, dp_sgd.motions, dtype=torch.bool),
        )
        return dp_sgd, dp_sgd.parameters(dp_sgd.init(0)), dp_sgd.examples(PublicState(0), users, people)
    layers, width = _NETWORKS[row.network]
    transformer = Transformer(layers=layers, width=width, motions=row.sequences)
    return transformer, transformer.init(0), transformer.drawn(people)


def _main(ask: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    number, what, names = json.loads(ask)
    row = ROWS[number]
    method, parameters, examples = _method(row)
    calls = {name: contender(name, method, parameters, examples) for name in names}
    if what == "time":
        spent = medians(calls, row.repeats)
    else:
        for call in calls.values():
            call()
            call()
        spent = {name: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 for name in names}
    print(json.dumps(spent))


if __name__ == "__main__":
    _main(sys.argv[1])
