"""Methods on MNIST and Fashion-MNIST, beside what was published of them; each row is kept once it is done."""

from __future__ import annotations

import json
import math
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
from common.storage import write_atomically, writing
from simulations.benchmarks.image_settings import DEVIATIONS, SETTINGS
from simulations.benchmarks.published_images import PUBLISHED
from simulations.preset import presets
from simulations.run import Request, simulate

SETS: Final = ("mnist", "fashion-mnist")
"""Folders of idx files inside the one that is given."""
DELTA: Final = 1e-5
RESULTS: Final = Path(__file__).parent / "results"
_STORE, _PAGE = "images.jsonl", "images.md"
_DPDM: Final = "dpdm"
_PRESET: Final = {_DPDM: "the preset dpdm"}
_SHARED: Final[dict[str, Any]] = {
    "unit": "record", "holdout": 0.0, "sites": 2, "trust": "central", "delta": DELTA,
}  # fmt: skip
_KINDS: Final = ("logistic", "mlp", "cnn")


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
    with writing(asked.out):  # before an hour is spent on what cannot be kept
        asked.out.mkdir(parents=True, exist_ok=True)
    rows = _read(asked.out / _STORE)
    for set_name in asked.sets:
        for method in asked.methods:
            for epsilon in asked.epsilons:
                key = {"set": set_name, "method": method, "epsilon": _stored(epsilon)}
                if any(key.items() <= row.items() for row in rows):
                    continue
                rows.append({**key, **_measured(asked, set_name, method, epsilon)})
                text = "".join(f"{json.dumps(row)}\n" for row in rows)
                write_atomically(asked.out / _STORE, text.encode())
                write_atomically(asked.out / _PAGE, page(rows).encode())
    return _shown(rows)


def _stored(epsilon: float) -> float | None:
    """As a row holds it: JSON has no infinity."""
    return None if math.isinf(epsilon) else epsilon


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _measured(asked: Asked, set_name: str, method: str, epsilon: float) -> dict[str, Any]:
    """One run of `simulate` in a folder that is thrown away; its figures and what they cost."""
    flags: dict[str, Any] = {**_SHARED, "data": asked.data / set_name, "epsilon": epsilon}
    source = method if method == _DPDM else None
    assert source is None or source in presets()
    settings = SETTINGS.get(method, {})
    flags |= {} if source else {"method": method, **settings}
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
        "settings": settings,
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
Every row is one simulated run over two sites on 2 shared cores of an AMD EPYC, no GPU, one thread: unit one
image, add or remove one unit, trust central (a trusted server adds the noise, as in the published work).
LR / MLP / CNN: accuracy on the 10,000 images of the t10k files of recognisers that learnt from generated
images alone in 600 steps; published: from 60,000. Public only: none, as there are no public images. Fréchet:
of the 8 x 8 lowest cosines, which no published FID compares with. Noise: its multiplier; rows without a
guarantee (ε none) say what a method reaches when nothing is hidden. Published figures are quoted, not
measured by us: "DPDM's table" is the comparison in Dockhorn et al. (TMLR 2023; its own rows with the sampler
tuned for accuracy), "PSG's slides" those of Private Set Generation with 20 images a class, "DPImageBench" its
README (CCS 2025), of its own classifiers. Settings were found without noise on the first 50,000 training
images of MNIST and tried on its last 10,000; neither t10k images nor Fashion-MNIST had a say."""


def _cells(row: Mapping[str, Any]) -> list[str]:
    spent = row["epsilon_spent"]
    return [
        row["set"],
        row["method"],
        "none" if spent is None else f"{spent:.3g}",
        _accuracies(row["figures"]),
        *PUBLISHED.get((row["method"], row["set"], _asked(row)), ("", "")),
        f"{row['figures']['frechet']:.3g}",
        f"{row['rounds']} x {row['sampling_rate']:g}",
        f"{row['noise_multiplier']:.3g}",
        f"{row['cpu_minutes']:g}",
    ]


def _asked(row: Mapping[str, Any]) -> float:
    return math.inf if row["epsilon"] is None else float(row["epsilon"])


def _accuracies(figures: Mapping[str, Any]) -> str:
    return " / ".join("-" if figures[kind] is None else f"{100 * figures[kind]:.1f}" for kind in _KINDS)


def _real(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A row for each set: the same recognisers, taught by as many real images."""
    for name in dict.fromkeys(row["set"] for row in rows):
        real = next(row["real"] for row in rows if row["set"] == name)
        cells = [name, "real images", "", _accuracies(real), "", "", f"{real['frechet']:.3g}"]
        yield cells + [""] * (len(_HEADS) - len(cells))


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    ordered = sorted(rows, key=lambda row: (row["set"] != SETS[0], row["set"], row["method"], _asked(row)))
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
        f"| {' | '.join(_HEADS)} |\n|{'---|' * len(_HEADS)}\n{body}\n\n{''.join(_parts(rows))}"
    )


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is to be known of each method's rows."""
    for name in sorted({row["method"] for row in rows}):
        own = (row["settings"] for row in rows if row["method"] == name and row.get("settings"))
        said: Mapping[str, Any] = next(own, {})
        settings = ", ".join(f"{key} {value}" for key, value in _flat(said))
        known = DEVIATIONS.get(name, "")
        yield f"## {name}\n\n{known}\n\n" if known else f"## {name}\n\n"
        yield f"Settings: {settings}.\n\n" if settings else f"Settings: {_PRESET.get(name, 'as usual')}.\n\n"


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from value.items()
        else:
            yield name, value
