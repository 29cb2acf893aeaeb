"""A TCP front that counts what passes: bytes as they cross the network, TLS included."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PIECE = 2**18


@dataclass
class Counter:
    """Bytes since the start, `up` from the sites to the server; `log` has (time, up, down) at each piece."""

    port: int = 0
    up: int = 0
    down: int = 0
    log: list[tuple[float, int, int]] = field(default_factory=lambda: [(time.monotonic(), 0, 0)])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def passed(self, upward: bool, count: int) -> None:
        with self.lock:
            if upward:
                self.up += count
            else:
                self.down += count
            self.log.append((time.monotonic(), self.up, self.down))

    def until(self, moment: float) -> tuple[int, int]:
        """(up, down) that had passed at `moment`."""
        with self.lock:
            return next((at[1:] for at in reversed(self.log) if at[0] <= moment), (0, 0))


@contextmanager
def counting(target: int) -> Iterator[Counter]:
    """Forward a free port of this machine to `target`, and count."""
    counter = Counter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        counter.port = int(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, target, counter), daemon=True).start()
        yield counter


def _accept(listener: socket.socket, target: int, counter: Counter) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:  # closed: the measurement is over
            return
        try:
            far = socket.create_connection(("127.0.0.1", target))
        except OSError:  # the server is not up yet: the site tries again
            near.close()
            continue
        for source, sink, upward in ((near, far, True), (far, near, False)):
            threading.Thread(target=_forward, args=(source, sink, upward, counter), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket, upward: bool, counter: Counter) -> None:
    try:
        while piece := source.recv(_PIECE):
            counter.passed(upward, len(piece))
            sink.sendall(piece)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
