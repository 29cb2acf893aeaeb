"""What of Flower's HTTP interface sites may reach: one fact, for our front and for the proxies it writes."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "/v1/fleet/"
CALLS: Final = (
    "activate-node",
    "confirm-message-received",
    "deactivate-node",
    "get-fab",
    "get-run",
    "pull-messages",
    "pull-object",
    "push-messages",
    "push-object",
    "register-node",
    "send-node-heartbeat",
    "unregister-node",
)
"""All that a SuperNode of Flower 1.41 asks for, each with POST. Everything else is not there: the control
and runtime interfaces on the same port ask nobody who they are."""
PATHS: Final = frozenset(PREFIX + call for call in CALLS)
MOST_BODY: Final = 16 * 2**20
"""Bytes of one request: Flower cuts arrays into objects of 5 MiB, and what else it sends is smaller."""
MOST_HEAD: Final = 16 * 2**10
"""Bytes of a request's line and headers."""
HEAD_SECONDS: Final = 20
"""For the whole of a request's head, however slowly it drips; longer than a SuperNode keeps a connection."""
BODY_SECONDS: Final = 20
"""Without a byte of a body, or with nobody taking a byte of the answer."""
MOST_SECONDS: Final = 300
"""For one request and its answer."""
MOST_CONNECTIONS: Final = 1024
MOST_OF_AN_ADDRESS: Final = 64
"""Connections at once; several sites may share an address."""
