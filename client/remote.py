"""The messenger's way to the site's gate: a stub on a Unix socket, light; why it failed it never says."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from flwr.app import RecordDict

from common.errors import Refusal, RefusalCode
from common.parcel import CHANNEL, from_parcel, to_parcel
from protos import gate_pb2, gate_pb2_grpc

AWAY: Final = 30.0
"""Seconds in which a gate that ended may be back: its supervisor starts it again."""
_AGAIN: Final = 0.5
_log = logging.getLogger("fedmotion.client")


class RemoteSite:
    """The site behind the socket at `path`, asked for at most `seconds`."""

    def __init__(self, path: Path, seconds: float, away: float = AWAY) -> None:
        self._path = path
        self._seconds = seconds
        self._away = away

    def answer(self, content: RecordDict) -> RecordDict:
        """The gate's answer, bytes untouched; Refusal(UNAVAILABLE) where none comes.

        A gate that ends under a question is asked again once it is back: it answers a
        repeat from its ledger.
        """
        parcel, deadline = to_parcel(content), time.monotonic() + self._seconds
        missed: float | None = None
        while True:
            left = deadline - time.monotonic()
            try:
                with _stub(self._path) as stub:
                    return from_parcel(stub.Answer(parcel, timeout=max(left, 0.001)))
            except grpc.RpcError as error:
                code = _code(error)
            missed = time.monotonic() if missed is None else missed
            over = min(deadline, missed + self._away) - _AGAIN <= time.monotonic()
            if code != grpc.StatusCode.UNAVAILABLE or over:
                raise Refusal(RefusalCode.UNAVAILABLE, f"the gate does not answer: {code.name}")
            time.sleep(_AGAIN)


def standing_of(path: Path, seconds: float = 5.0) -> dict[str, Any] | None:
    """What the gate behind the socket at `path` tells its operator; None where none answers."""
    try:
        with _stub(path) as stub:
            told = json.loads(stub.Status(gate_pb2.StatusRequest(), timeout=seconds).json)
    except (grpc.RpcError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def main(arguments: list[str]) -> int:
    """SOCKET: 0 where a gate answers behind it, for the health check of a container."""
    return int(len(arguments) != 1 or standing_of(Path(arguments[0])) is None)


def free_port() -> int:
    """A port on loopback that nobody listens on now: for the SuperNode's talk with its own messengers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code() if hasattr(error, "code") else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


@contextmanager
def _stub(path: Path) -> Iterator[gate_pb2_grpc.GateStub]:
    with grpc.insecure_channel(f"unix:{path}", options=CHANNEL) as channel:
        yield gate_pb2_grpc.GateStub(channel)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
