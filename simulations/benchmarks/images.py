"""Methods on MNIST and Fashion-MNIST, beside what was published of them; each row is kept once it is done."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from common.errors import InputError
from common.methods import NAMES
from common.storage import write_atomically
from simulations.preset import presets
from simulations.run import Request, simulate

SETS: Final = ("mnist", "fashion-mnist")
"""Folders of idx files inside the one that is given."""
DELTA: Final = 1e-5
RESULTS: Final = Path(__file__).parent / "results"
_STORE, _PAGE = "images.jsonl", "images.md"
_DPDM: Final = "dpdm"
_SHARED: Final[dict[str, Any]] = {
    "unit": "record", "holdout": 0.0, "sites": 2, "trust": "central", "delta": DELTA,
}  # fmt: skip
_KINDS: Final = ("logistic", "mlp", "cnn")

_TABULATED: Final = "DPDM's table"
_SLIDES: Final = "PSG's slides"
PUBLISHED: Final[Mapping[tuple[str, str, float], tuple[str, str]]] = {
    ("dpdm", "mnist", 1.0): ("86.7 / 91.6 / 95.3", _TABULATED),
    ("dpdm", "mnist", 10.0): ("90.8 / 94.8 / 98.1", _TABULATED),
    ("dpdm", "fashion-mnist", 1.0): ("76.3 / 76.9 / 79.4", _TABULATED),
    ("dpdm", "fashion-mnist", 10.0): ("81.1 / 83.0 / 86.2", _TABULATED),
    ("gs_wgan", "mnist", 1.0): ("- / - / 72.4", "DPImageBench"),
    ("gs_wgan", "mnist", 10.0): ("79 / 79 / 80", _TABULATED),
    ("gs_wgan", "fashion-mnist", 1.0): ("- / - / 52.7", "DPImageBench"),
    ("gs_wgan", "fashion-mnist", 10.0): ("68 / 65 / 65", _TABULATED),
    ("dp_merf", "mnist", 1.0): ("- / - / 80.3", "DPImageBench"),
    ("dp_merf", "mnist", 10.0): ("79.4 / 78.3 / 82.1", _TABULATED),
    ("dp_merf", "fashion-mnist", 1.0): ("- / - / 62.2", "DPImageBench"),
    ("dp_merf", "fashion-mnist", 10.0): ("75.5 / 74.5 / 75.4", _TABULATED),
    ("dp_mepf", "mnist", 1.0): ("82.5 / 89.3 / -", _TABULATED),
    ("dp_mepf", "mnist", 10.0): ("83.4 / 89.8 / -", _TABULATED),
    ("dp_mepf", "fashion-mnist", 1.0): ("75.4 / 74.7 / -", _TABULATED),
    ("dp_mepf", "fashion-mnist", 10.0): ("75.7 / 76.0 / -", _TABULATED),
    ("psg", "mnist", 10.0): ("- / - / 95.6", _SLIDES),
    ("psg", "fashion-mnist", 10.0): ("- / - / 77.7", _SLIDES),
}  # fmt: skip
"""Downstream accuracy in percent, logistic / MLP / CNN, and where it stands: none of them is ours."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Rows to be measured: every method on every set at every epsilon."""

    data: Path
    out: Path = RESULTS
    methods: Sequence[str] = (_DPDM, "moments")
    sets: Sequence[str] = SETS
    epsilons: Sequence[float] = (1.0, 10.0)
    rounds: int | None = None

    def checked(self) -> Asked:
        """Itself; InputError names what is not there."""
        for method in self.methods:
            if method != _DPDM and method not in NAMES:
                known = ", ".join(sorted({*NAMES, _DPDM}))
                raise InputError(f"--methods {method}: choose from {known}")
        for name in self.sets:
            if not (self.data / name).is_dir():
                raise InputError(f"--recordings {self.data}: no folder {name} with idx files in it")
        return self


def table(asked: Asked) -> Table:
    """Measure what is asked and not measured yet; the page in `asked.out` has all rows there are."""
    asked = asked.checked()
    rows = _read(asked.out / _STORE)
    for set_name in asked.sets:
        for method in asked.methods:
            for epsilon in asked.epsilons:
                key = {"set": set_name, "method": method, "epsilon": epsilon}
                if any(key.items() <= row.items() for row in rows):
                    continue
                rows.append({**key, **_measured(asked, set_name, method, epsilon)})
                text = "".join(f"{json.dumps(row)}\n" for row in rows)
                write_atomically(asked.out / _STORE, text.encode())
                write_atomically(asked.out / _PAGE, page(rows).encode())
    return _shown(rows)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _measured(asked: Asked, set_name: str, method: str, epsilon: float) -> dict[str, Any]:
    """One run of `simulate` in a folder that is thrown away; its figures and what they cost."""
    flags: dict[str, Any] = {**_SHARED, "data": asked.data / set_name, "epsilon": epsilon}
    source = method if method == _DPDM else None
    assert source is None or source in presets()
    flags |= {} if source else {"method": method}
    flags |= {} if asked.rounds is None else {"rounds": asked.rounds}
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="fedmotion-images-") as folder:
        request = Request(source=source, flags=flags, out=Path(folder) / "run", resume=False)
        run = simulate(request, Console(quiet=True))
    found = {row["generator"]: row for row in run["quality"]["table"]}
    event = run["privacy"]["events"][0]
    return {
        "figures": found["private"],
        "real": found["floor"],
        "images": run["quality"]["windows"],
        "epsilon_spent": run["privacy"]["epsilon_spent"],
        "accountant": run["privacy"]["accountant"],
        "rounds": run["rounds"],
        "sampling_rate": event["sampling_rate"],
        "noise_multiplier": event["noise_multiplier"],
        "dimension": run["dimension"],
        "cpu_minutes": round((time.process_time() - began) / 60, 1),
    }


_HEADS: Final = (
    "set",
    "method",
    "ε",
    "LR / MLP / CNN, %",
    "published, %",
    "where",
    "Fréchet",
    "rounds x q",
    "noise",
    "CPU min",
)
_INTRODUCTION: Final = """\
Every row is one simulated run over two sites: unit one image, add or remove one unit, trust central (a
trusted server adds the noise, as in the published work). LR / MLP / CNN: accuracy on the 10,000 images of
the t10k files of recognisers that learnt from generated images alone in 600 steps; published: from 60,000.
Public only: none, as there are no public images. Fréchet: of the 8 x 8 lowest cosines, which no published
FID compares with. Noise: its multiplier. Published figures are quoted, not measured by us: "DPDM's table"
is the comparison in Dockhorn et al. (TMLR 2023; its own rows with the sampler tuned for accuracy), "PSG's
slides" those of Private Set Generation with 20 images a class, "DPImageBench" its README (CCS 2025), of its
own classifiers."""

_DEVIATIONS: Final = """\
What differs from the published dpdm, and may explain the distance (none was varied alone): 180,000 images
are seen in all, each at 4 noise levels (published: 18 million at 32, so 800 times the work), by an MLP of
39,064 parameters on half the resolution (a U-Net of 1.75 million on pixels); recognisers see a twelfth of
the images in few steps, which on real images costs the CNN 4.5 points on MNIST (published 99.6). That
epsilon 1 and 10 lie close together says that the size of the run binds here rather than the noise."""


def _cells(row: Mapping[str, Any]) -> list[str]:
    key = (row["method"], row["set"], float(row["epsilon"]))
    return [
        row["set"],
        row["method"],
        f"{row['epsilon_spent']:.3g}",
        _accuracies(row["figures"]),
        *PUBLISHED.get(key, ("", "")),
        f"{row['figures']['frechet']:.3g}",
        f"{row['rounds']} x {row['sampling_rate']:g}",
        f"{row['noise_multiplier']:.3g}",
        f"{row['cpu_minutes']:g}",
    ]


def _accuracies(figures: Mapping[str, Any]) -> str:
    return " / ".join("-" if figures[kind] is None else f"{100 * figures[kind]:.1f}" for kind in _KINDS)


def _real(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A row for each set: the same recognisers, taught by as many real images."""
    for name in dict.fromkeys(row["set"] for row in rows):
        real = next(row["real"] for row in rows if row["set"] == name)
        cells = [name, "real images", "", _accuracies(real), "", "", f"{real['frechet']:.3g}"]
        yield cells + [""] * (len(_HEADS) - len(cells))


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    ordered = sorted(rows, key=lambda row: (row["set"] != SETS[0], row["set"], row["method"], row["epsilon"]))
    return [*map(_cells, ordered), *_real(ordered)]


def _shown(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = Table(title=f"images: what recognisers learn from generated ones; δ {DELTA:g}, unit one image")
    for head in _HEADS:
        shown.add_column(head)
    for line in _lines(rows):
        shown.add_row(*line)
    return shown


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The results as a page of Markdown."""
    drawn, accountant = f"{rows[0]['images']:,} images are generated a row", rows[0]["accountant"]
    body = "\n".join(f"| {' | '.join(line)} |" for line in _lines(rows))
    return (
        "# Images, beside published figures\n\n"
        "`python -m simulations.benchmarks images --recordings FOLDER`, where FOLDER holds `mnist` and"
        f" `fashion-mnist`;\nδ = {DELTA:g}, accountant {accountant}; {drawn}.\n\n{_INTRODUCTION}\n\n"
        f"{_DEVIATIONS}\n\n"
        f"| {' | '.join(_HEADS)} |\n|{'---|' * len(_HEADS)}\n{body}\n"
    )
