"""What the ServerApp says in words: `logs/run.log` beside the server's other logs.

Flower keeps what a ServerApp prints in its own database, where no operator looks. Nothing of a site is in
it but what arrived: its name, a refusal's code, what was wrong with a message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from common.errors import FedmotionError
from common.rotating import MOST
from common.run_plan import RUN_PLAN

NAME: Final = "run"
_log = logging.getLogger("fedmotion.server")


@contextmanager
def run_log(folder: Path) -> Iterator[None]:
    """Write warnings of the run in `folder`, and what ends it, to the server's logs; not in a simulation."""
    logs = folder.parent.parent / "logs"
    if not (folder / RUN_PLAN).is_file() or not logs.is_dir():
        yield
        return
    handler = RotatingFileHandler(
        logs / f"{NAME}.log", maxBytes=MOST, backupCount=1, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    try:
        yield
    except FedmotionError as error:
        _log.error("the run cannot go on: %s", error)
        raise
    finally:
        _log.removeHandler(handler)
        handler.close()
