"""The ClientApp: a messenger between Flower and the site's gate.

It holds no data. Whatever happens, its answer is an acceptance, a release or a fixed
code; what went wrong in words goes to the site's own log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from common.errors import Refusal, RefusalCode
from common.wire import decode_plan, decode_query, encode_acceptance, encode_refusal, encode_release

if TYPE_CHECKING:
    from client.gate import Gate, LocalGate

_log = logging.getLogger("fedmotion.client")

LOG = "sites.log"
resident: dict[Path, Gate] = {}
"""Gates open in this process, by site file."""

_visiting: dict[Path, LocalGate] = {}
"""Gates that this process opened when a message came. Flower's engine may hand a site's next message to
another process, so between messages their ledgers are free."""

app = ClientApp()


@app.query("plan")
def accept(message: Message, context: Context) -> Message:
    """Put a plan to the gate."""

    def answer(gate: Gate) -> RecordDict:
        return encode_acceptance(gate.accept(*decode_plan(message.content)))

    return _guarded(message, context, answer)


@app.train()
def release(message: Message, context: Context) -> Message:
    """Put one round's query to the gate."""

    def answer(gate: Gate) -> RecordDict:
        return encode_release(gate.release(*decode_query(message.content)))

    return _guarded(message, context, answer)


def _guarded(message: Message, context: Context, answer: Callable[[Gate], RecordDict]) -> Message:
    try:
        content = answer(_gate(context))
    except Refusal as refusal:
        _log.warning("refused: %s (%s)", refusal.code, refusal)
        content = encode_refusal(refusal.code)
    except Exception:
        _log.exception("the gate failed")
        content = encode_refusal(RefusalCode.UNAVAILABLE)
    finally:
        for gate in _visiting.values():
            gate.rest()
    return Message(content, reply_to=message)


def site_log(run: Path) -> logging.FileHandler:
    """Where a site says in words what went wrong; it may tell of people and is never sent."""
    handler = logging.FileHandler(run / LOG, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _gate(context: Context) -> Gate:
    """The gate of the site file that this node stands for."""
    run = Path(str(context.run_config["run-dir"]))
    file = sorted((run / "sites").glob("*.toml"))[int(context.node_config["partition-id"])]
    if file in resident:
        return resident[file]
    if file not in _visiting:
        if not _log.handlers:
            _log.addHandler(site_log(run))
        from client.site import SiteFile

        _visiting[file] = SiteFile.read(file).open_gate()
    return _visiting[file]
