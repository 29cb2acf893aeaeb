"""What a finished run shows: sample files, their page and the report; none holds a recorded motion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from common.motion.export import FORMATS
from common.storage import writing
from server.checkpoint import Checkpoint
from server.generate import draw, write, write_page
from server.report import report_page
from server.rounds import METRICS

REPORT: Final = "report.html"
_SAMPLES: Final = {"skeleton": 12, "sensor": 12, "image": 100}


def present(checkpoint: Checkpoint, run: Mapping[str, Any], command: str, folder: Path) -> None:
    """Write `samples/` and the report into the run's `folder`; `command` starts such a run again."""
    generator = checkpoint.generator()
    count = _SAMPLES[generator.codec.modality.kind]
    samples = draw(generator, count, None, seed=0, warning=checkpoint.plan.warning)
    format = FORMATS[samples.modality.kind][0]
    write(samples, format, folder / "samples", "samples")
    write_page(samples, folder / "samples", f"fedmotion: {run['method']}, generated motions")
    rows = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    page = report_page(run, rows, samples.shown("generated"), rate=samples.modality.rate, command=command)
    with writing(folder):
        (folder / REPORT).write_text(page, encoding="utf-8")
