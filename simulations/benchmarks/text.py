"""Text encoders: how often the nearest label is the right one, and what a sentence costs."""

from __future__ import annotations

import time

from rich.table import Table

from common.errors import InputError
from common.generator.text_encoders import make_text
from simulations.benchmarks.paraphrases import PARAPHRASES

_SIZES = (16, 32, 45)
_LABELS = tuple(PARAPHRASES)


def table() -> Table:
    """Right labels among free sentences, chance 1 in 13; CPU milliseconds a sentence, one thread."""
    result = Table(title="text: the nearest label's public sentence, one thread")
    for name in ("encoder", "numbers", "right", "of", "nothing known", "ms a sentence", "ms to make"):
        result.add_column(name, justify="left" if name == "encoder" else "right")
    for kind in ("template", "minilm"):
        for size in _SIZES:
            try:
                result.add_row(kind, str(size), *_row(kind, size))
            except InputError as error:
                result.add_row(kind, str(size), *["-"] * 4, str(error))
                break
    return result


def _row(kind: str, size: int) -> list[str]:
    start = time.process_time()
    encoder = make_text(kind, size, _LABELS)
    assert encoder is not None
    made = time.process_time() - start
    wanted = [label for label, said in PARAPHRASES.items() for _ in said]
    said = [sentence for own in PARAPHRASES.values() for sentence in own]
    start = time.process_time()
    vectors = encoder.encode(said)
    each = (time.process_time() - start) / len(said)
    found = [_LABELS[i] for i in (vectors @ encoder.labels[:-1].T).argmax(dim=1).tolist()]
    right = sum(one == other for one, other in zip(found, wanted, strict=True))
    silent = int((vectors.norm(dim=1) == 0).sum())
    return [str(right), str(len(said)), str(silent), f"{each * 1e3:.3g}", f"{made * 1e3:.3g}"]
