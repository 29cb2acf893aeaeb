"""How good generated images are, in simulation: what recognisers learn from them, and a Frechet distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from client.datasets import DataSet
from client.datasets.idx_folder import IdxFolder
from common.generator.generator import Generator
from common.generator.image_codec import ImageCodec
from common.motion.recording import Modality
from server.generate import draw
from simulations.config import Simulation
from simulations.corpus import Corpus, corpus
from simulations.evaluation.metrics import frechet
from simulations.evaluation.quality import FEWEST, Reference, some
from simulations.evaluation.recogniser import RECOGNISERS, accuracy, taught
from simulations.partition import held_out, trained
from simulations.prepare import data_options

MOST: Final = 5000
"""Images of each set that a recogniser learns from and a distance compares."""
NOTE: Final = (
    "evaluated in simulation against held-out images, not released; the Frechet distance is that of the"
    " 8 x 8 lowest cosines, in the codec's units: no published FID compares with it"
)
_SIDE: Final = 8


def image_reference(config: Simulation, data: DataSet) -> tuple[Reference, str]:
    """Images held out (the t10k files where they are there, else a share), some in training, and a remark."""
    assert config.data is not None
    test, share = IdxFolder(config.data, data_options(config)).held_out(), held_out(config).select(data)
    used = trained(config).select(data)[:MOST]
    fitted = corpus(data.recordings(used), data.modality, data.labels)
    left = iter(test) if test else data.recordings(share)
    remark = ""
    if test and share:
        remark = (
            f"{len(share):,} images were in no training and measured nothing, as the t10k files are held out"
            " already: set holdout to 0"
        )
    return Reference(held_out=corpus(left, data.modality, data.labels), trained=fitted), remark


def image_quality(
    private: Generator,
    public_only: Generator | None,
    reference: Reference,
    data: DataSet,
    remark: str = "",
) -> dict[str, Any]:
    """Figures as `run.json` holds them, of as many images a row as are in training, 5,000 at most."""
    count = min(len(reference.trained.windows), MOST)
    missing = [remark] if remark else []
    if min(count, len(reference.held_out.windows)) < FEWEST:
        nothing = {"private": None, "public_only": None, "floor": None}
        why = f"nothing was measured: fewer than {FEWEST} images are held out, or are in training"
        return {"frechet": nothing, "note": NOTE, "missing": [*missing, why]}
    if public_only is None:
        missing.append("public only: none, as there are no public images to train on")
    sets = {"private": _drawn(private, count, data.labels)}
    if public_only is not None:
        sets["public_only"] = _drawn(public_only, count, data.labels)
    sets["floor"] = some(reference.trained, count)
    notes = {
        "private": "trained in this run",
        "public_only": "the same generator trained on public images alone",
        "floor": "real images in training, as they are",
    }
    rows = {
        name: figures(found, reference.held_out, data.modality, data.labels) for name, found in sets.items()
    }
    return {
        "frechet": {name: rows.get(name, {}).get("frechet") for name in notes},
        "table": [{"generator": name, **row, "note": notes[name]} for name, row in rows.items()],
        "windows": count,
        "note": NOTE,
        "missing": missing,
    }


def figures(
    found: Corpus, real: Corpus, modality: Modality, labels: tuple[str, ...]
) -> dict[str, float | None]:
    """Of images `found` against `real` ones held out: distance, and accuracies of who learnt from `found`."""
    count = min(len(found.windows), len(real.windows))
    other = some(real, count)
    distance = frechet(_features(found.windows[:count], modality), _features(other.windows, modality))
    learnt = {kind: _learnt(kind, found, real, len(labels)) for kind in RECOGNISERS}
    return {"frechet": round(distance, 4), **learnt}


def _learnt(kind: str, found: Corpus, real: Corpus, classes: int) -> float | None:
    """Share of `real` that a recogniser taught by `found` is right about; None without labels."""
    rows, asked = found.labels < classes, real.labels < classes
    if len(torch.unique(found.labels[rows])) < 2 or not asked.any():
        return None
    model = taught(kind, found.windows[rows], found.labels[rows], classes)
    return round(accuracy(model, real.windows[asked], real.labels[asked]), 4)


def _features(images: Tensor, modality: Modality) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The lowest cosines in public units, `[n, 64]`: what is finer is not looked at."""
    codec = ImageCodec(modality, (), min(_SIDE, modality.window, len(modality.channels)))
    return codec.encode(images, torch.zeros(len(images), dtype=torch.int64)).numpy().astype(np.float64)


def _drawn(generator: Generator, count: int, labels: tuple[str, ...]) -> Corpus:
    """`count` images as `generate` writes them."""
    own = draw(generator, count, None, seed=1)
    index: Mapping[str, int] = {label: i for i, label in enumerate(labels)}
    found = torch.tensor([index.get(label, len(index)) for label in own.labels])
    return Corpus(torch.from_numpy(np.stack(own.motions)), found)
