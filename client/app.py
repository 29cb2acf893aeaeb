"""The ClientApp: a messenger between Flower and the site's gate.

It holds no data. Whatever happens, its answer is an acceptance, a release or a fixed
code; what went wrong in words goes to the site's own log.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from common.errors import Refusal
from common.parcel import encode_hello, encode_refusal, folded, unfolded

if TYPE_CHECKING:
    from client.door import Door

_log = logging.getLogger("fedmotion.client")
# Words stay here: the root logger would pass them on to Flower's log, in a simulation the server's.
logging.getLogger("fedmotion").addHandler(logging.NullHandler())
logging.getLogger("fedmotion").propagate = False

LOG = "sites.log"


class Site(Protocol):
    """Whatever answers for a site: its door in this process, or the socket that leads to it."""

    def answer(self, content: RecordDict) -> RecordDict:
        """The answer to one message; it raises nothing."""


resident: dict[Path, Site] = {}
"""Doors open in this process, by site file."""

_visiting: dict[Path, Door] = {}
"""Doors that this process opened when a message came. Flower's engine may hand a site's next message to
another process, so between messages their ledgers are free."""

app = ClientApp()


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Say which site this node stands for: nobody believes it before the site seals an answer."""
    content = encode_hello(_name(context))
    return Message(folded(content), reply_to=message)


@app.query("plan")
def accept(message: Message, context: Context) -> Message:
    """Carry a plan to the site."""
    return _carry(message, context)


@app.train()
def release(message: Message, context: Context) -> Message:
    """Carry a round's questions to the site."""
    return _carry(message, context)


def _carry(message: Message, context: Context) -> Message:
    try:
        content = _site(message, context).answer(unfolded(message.content))
    except Refusal as refusal:
        _log.warning("refused: %s (%s)", refusal.code, refusal)
        content = encode_refusal(refusal.code)
    finally:
        for door in _visiting.values():
            door.rest()
    return Message(folded(content), reply_to=message)


def site_log(run: Path) -> logging.FileHandler:
    """Where a site says in words what went wrong; it may tell of people and is never sent."""
    handler = logging.FileHandler(run / LOG, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _site(message: Message, context: Context) -> Site:
    """The gate's socket that this node was given; in a simulation the door of its site file."""
    socket = context.node_config.get("socket")
    if isinstance(socket, str):
        from client.remote import RemoteSite

        return RemoteSite(Path(socket), message.metadata.ttl)
    file, run = _file(context), _run(context)
    if file in resident:
        return resident[file]
    if file not in _visiting:
        if not _log.handlers:
            _log.addHandler(site_log(run))
        from client.site import SiteFile

        _visiting[file] = SiteFile.read(file).open_door()
    return _visiting[file]


def _name(context: Context) -> str:
    """The site's name: the node's configuration says it, in a simulation the site's file."""
    return str(context.node_config["site"]) if "site" in context.node_config else _file(context).stem


def _file(context: Context) -> Path:
    files = sorted((_run(context) / "sites").glob("*.toml"))
    return files[int(context.node_config["partition-id"])]


def _run(context: Context) -> Path:
    return Path(str(context.run_config["run-dir"]))
