"""Why a site's messenger has no connection to its coordinator, tried anew, in words for its steward."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from common.card import Card

_SECONDS: Final = 5.0


def trouble(coordinator: Card) -> str | None:
    """What a connection to the coordinator's address meets, with the way out; None where it is made.

    Nothing is sent beyond the greeting of TLS.
    """
    address = coordinator.address
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context(cadata=coordinator.authority or None)
    try:
        with (
            socket.create_connection((host, int(port)), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return (
            f"{address} is not believed: {error.verify_message}; its operator renews the front's certificate"
        )
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error) or "no answer"
        return f"{address} cannot be reached from here: {words.lower()}; ask its operator, and your network's"
