"""Seconds and bytes of a round: three deployed sites against Flower alone, in process, and Flower's Ray."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from common.generator.denoisers.mlp import ResidualMLP
from simulations.benchmarks import bare, real_sites
from simulations.benchmarks.watching import Cost, watch
from simulations.toml import to_toml

_LATENT, _LABELS, _PEOPLE = 16, 6, 24
_PATIENCE = 900.0
_SEALS = 300
"""About how many bytes a header with its seal has."""
_KEYS, _SHARES, _LIST = 700, 500, 450
"""The same for the messages of a secure sum, with three sites."""


@dataclass(frozen=True)
class Size:
    """A denoiser of about so many parameters."""

    name: str
    width: int
    depth: int

    @property
    def options(self) -> dict[str, int]:
        return {"width": self.width, "depth": self.depth, "motions": 1, "replicas": 1}

    @property
    def arrays(self) -> list[int]:
        """Values of each array of the state."""
        shapes = ResidualMLP(
            labels=_LABELS, text=0, frames=1, channels=_LATENT, width=self.width, depth=self.depth
        ).shapes()
        return [_product(shape) for shape in shapes.values()]


SIZES = (Size("1 k", 13, 1), Size("1 M", 700, 2), Size("10 M", 1570, 4))


def table(sizes: tuple[Size, ...] = SIZES, rounds: int = 4) -> Table:
    """Median seconds and bytes of `rounds` - 1 rounds, all three sites together, and the server's peak."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or what is deployed would outlive us
    result = Table(title="a round with three sites, all on this machine")
    result.add_column("parameters")
    result.add_column("contender")
    for name in (
        "seconds (range)",
        "CPU s",
        "bytes up",
        "bytes down",
        "server MiB",
        "to bare",
        "CPU to bare",
    ):
        result.add_column(name, justify="right")
    with tempfile.TemporaryDirectory(prefix="fedmotion-rounds-") as name:
        folder = Path(name)
        for size in sizes:
            dimension = f"{sum(size.arrays):,}"
            costs: dict[str, Cost] = {}
            for contender, cost in _contenders(folder, size, rounds):
                costs[contender] = cost
                print(f"{dimension} {contender}: {cost}", file=sys.stderr, flush=True)
                result.add_row(dimension, contender, *_row(cost, costs, contender))
    return result


def _contenders(folder: Path, size: Size, rounds: int) -> Iterator[tuple[str, Cost]]:
    home = folder / f"bare-{size.width}"
    home.mkdir()
    with bare.deployed(home) as (counter, environment):
        for trust, exchanges in _exchanges(size.arrays).items():
            lines = bare.start(home, environment, trust, exchanges, rounds)
            seen = watch(lines, rounds, "flwr-serverapp", home, lambda: True, _PATIENCE)
            yield f"bare Flower, as {trust}", Cost.of(seen, counter)
    start = _start(folder, size)
    home = folder / f"sites-{size.width}"
    home.mkdir()
    with real_sites.joined(home, start) as federation:
        for trust in ("local", "secagg"):
            with federation.running(start, trust, rounds) as run:
                seen = watch(run / "metrics.jsonl", rounds, "flwr-serverapp", home, lambda: True, _PATIENCE)
            yield f"fedmotion, {trust}", Cost.of(seen, federation.counter)
    for engine, process in (("inprocess", "simulate"), ("flower", "flwr-simulation")):
        yield f"simulation, {engine}", _simulated(folder, size, rounds, engine, process)


def _exchanges(state: list[int]) -> Mapping[str, list[bare.Exchange]]:
    """What crosses in a round: the state down, one vector up; under secagg four more exchanges, small."""
    query: bare.Exchange = ((_SEALS, state), (2 * _SEALS, [sum(state)]))
    around: list[bare.Exchange] = [((_SEALS, []), (_KEYS, [])), ((4 * _KEYS, []), (2 * _SHARES, []))]
    after: list[bare.Exchange] = [((_LIST, []), (_SEALS, [])), ((2 * _LIST, []), (_SHARES, []))]
    return {"local": [query], "secagg": [*around, query, *after]}


def _start(folder: Path, size: Size) -> Path:
    """A public generator to start from."""
    file = folder / f"start-{size.width}.toml"
    settings = {
        "people": 40,
        "motions": 2,
        "latent": _LATENT,
        "steps": 2,
        "batch": 8,
        "options": size.options,
    }
    file.write_text(to_toml(settings))
    real_sites.command("pretrain", file, "--out", file.with_suffix(""))
    return file.with_suffix("")


def _simulated(folder: Path, size: Size, rounds: int, engine: str, process: str) -> Cost:
    home = folder / f"{engine}-{size.width}"
    home.mkdir()
    settings = {
        "people": _PEOPLE, "motions": 1, "sites": bare.SITES, "rounds": rounds, "sampling_rate": 1.0,
        "latent": _LATENT, "public_people": 100, "holdout": 0.0, "engine": engine, "options": size.options,
    }  # fmt: skip
    (home / "run.toml").write_text(to_toml(settings))
    words = [
        str(Path(sys.executable).parent / "fedmotion"),
        "simulate",
        "run.toml",
        "--out",
        str(home / "out"),
    ]
    with bare.running("simulate", words, home, bare.environment(home)) as running:
        seen = watch(
            home / "out" / "metrics.jsonl", rounds, process, home, lambda: running.poll() is None, _PATIENCE
        )
    return Cost.of(seen)


def _row(cost: Cost, costs: Mapping[str, Cost], contender: str) -> list[str]:
    trust = "secagg" if "secagg" in contender else "local"
    bytes_ = [f"{value:,}" if value else "" for value in (cost.up, cost.down)]
    bare_cost = costs[f"bare Flower, as {trust}"]
    shares = [f"{cost.seconds / bare_cost.seconds:.2f}", f"{cost.work / bare_cost.work:.2f}"]
    seconds = f"{cost.seconds:.2f} ({cost.fastest:.2f}-{cost.slowest:.2f})"
    return [seconds, f"{cost.work:.1f}", *bytes_, f"{cost.memory:,}", *shares]


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
