"""What pre-training and the choice of private parameters do to the demo, at two budgets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from client.datasets import DataSet
from common.generator.trainable import supported
from common.pretrained import Pretrained
from common.storage import exclusive
from server.budget import percent
from server.checkpoint import Checkpoint
from server.parameters import Parameters, parameters_of
from simulations.config import Simulation, read_config
from simulations.corpus import Corpus
from simulations.engine import run_inprocess
from simulations.people import Remembered
from simulations.prepare import LOCK, open_people, prepare
from simulations.pretrain import Request, pretrain
from simulations.public_corpus import public_corpus
from simulations.run import measure

RESULTS: Final = Path(__file__).parent / "results" / "pretraining.md"
EPSILONS: Final = (8.0, 1.0)
_HEADS: Final = (
    "epsilon", "start", "train", "private parameters", "plan says", "private", "public only", "floor",
)  # fmt: skip
_ABOUT: Final = """# Pre-training in numbers

    python -m simulations.benchmarks pretraining

The demo (2,500 procedural people of four motions, 2,000 of them at eight sites and 500 held out; `dp_sgd`,
200 rounds at rate 0.5, the options' defaults) from scratch, and from a generator that `fedmotion pretrain`
made of 500 procedural people with other habits. Delta 1e-5, unit user, add or remove one unit, PLD
(dp-accounting), trust `local`; seed {seed}, one run each. Fréchet distance to the held-out people (lower is
better), evaluated in simulation, not released; another run of the same seed differs, as the noise is drawn
afresh. "plan says" is what `fedmotion plan` says of so many parameters. "public only" is the generator
before round 1; from scratch, the same network trained as long on public motions.

"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run: Fréchet distances as `quality` has them."""

    epsilon: float
    start: str
    parameters: Parameters
    frechet: dict[str, float]

    def cells(self) -> tuple[str, ...]:
        told = self.parameters
        return (
            f"{self.epsilon:g}", self.start, told.train, f"{told.private:,} of {told.all:,}",
            f"noise {percent(told.noise)}, {told.verdict}",
            *(f"{self.frechet[name]:.4f}" for name in ("private", "public_only", "floor")),
        )  # fmt: skip


def table() -> Table:
    """Run all, a minute of CPU each, and leave `RESULTS`, which grows with every run."""
    shown = Table(*_HEADS, title="pre-training")
    rows: list[Row] = []
    for row in _rows(seed=0):
        rows.append(row)
        shown.add_row(*row.cells())
        lines = [_HEADS, tuple("---" for _ in _HEADS), *(row.cells() for row in rows)]
        written = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        RESULTS.write_text(_ABOUT.format(seed=0) + written, encoding="utf-8")
    return shown


def _rows(seed: int) -> Iterator[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedmotion-pretraining-")))
        base = folder / "public"
        pretrain(Request(source=None, flags={"seed": seed}, out=base, resume=False), Console(quiet=True))
        config = read_config("demo", {"seed": seed})
        data = open_people(config)
        data = Remembered(data, data.people())
        public = public_corpus(config, data)
        trains = supported(Pretrained.load(base).shapes)
        for epsilon in EPSILONS:
            for start, train in [("scratch", "all"), *(("pre-trained", train) for train in trains)]:
                flags: dict[str, Any] = {"seed": seed, "epsilon": epsilon, "options": {"train": train}}
                flags |= {"pretrained": base} if start == "pre-trained" else {}
                out = folder / f"{epsilon}-{start}-{train}"
                out.mkdir()
                yield _row(read_config("demo", flags), start, data, public, out)


def _row(config: Simulation, start: str, data: DataSet, public: Corpus | None, out: Path) -> Row:
    prepare(config, data, public, out)
    sites = list((out / "sites").glob("*.toml"))
    told = parameters_of(out, round(len(data.people()) * (1 - config.holdout)), len(sites))
    with exclusive(out / LOCK):  # without it the coordinator takes its simulation for gone
        run_inprocess(out, data)
    checkpoint = Checkpoint.load(out)
    assert checkpoint.state.round == config.rounds, "stopped early"
    found = measure(config, checkpoint, data, public)["frechet"]
    return Row(epsilon=config.epsilon, start=start, parameters=told, frechet=found)
