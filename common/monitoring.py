"""What an operator's monitoring may ask on a loopback port: is it up, is it ready, and Prometheus metrics.

Served by the supervisor, which holds no data; the gate has no network socket. What is told is a table of
measures with the reason why each is public: a number without an entry there cannot be told.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from common.errors import InputError

HOST: Final = "127.0.0.1"
_log = logging.getLogger("fedmotion.monitoring")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric that may be told: Prometheus name, what it is, its labels; `public` is why anyone may see it.

    `clock` marks what moves with time alone.
    """

    name: str
    help: str
    public: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: tuple[str, ...] = ()
    clock: bool = False


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """One look: `values` by measure and labels; `down` names what is not up, `waiting` what is not ready."""

    values: Mapping[str, Mapping[tuple[str, ...], float]]
    down: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


class _Page(Collector):
    """The measures as Prometheus collects them."""

    def __init__(self, measures: Sequence[Measure], vitals: Vitals) -> None:
        self._measures = measures
        self._vitals = vitals

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        for measure in self._measures:
            family = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
            found = family(measure.name, measure.help, labels=measure.labels)
            for labels, value in sorted(self._vitals.values.get(measure.name, {}).items()):
                found.add_metric(list(labels), value)
            yield found


def page(measures: Sequence[Measure], vitals: Vitals) -> bytes:
    """The text that `/metrics` answers with; ValueError for a value that no measure allows."""
    if unknown := vitals.values.keys() - {measure.name for measure in measures}:
        raise ValueError(f"no such measure: {', '.join(sorted(unknown))}")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(measures, vitals))
    return bytes(generate_latest(registry))


@contextmanager
def monitoring(
    port: int | None, measures: Sequence[Measure], look: Callable[[], Vitals]
) -> Iterator[int | None]:
    """Answer `/healthz`, `/readyz` and `/metrics` on 127.0.0.1:`port` from a thread; None: off.

    Yields the port (0 takes a free one). `look` is called for each request. InputError where the port
    is taken.
    """
    if port is None:
        yield None
        return
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(measures, look))
    except OSError as error:
        raise InputError(f"monitoring = {port}: {error.strerror or error}; choose another port") from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="monitoring", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(measures: Sequence[Measure], look: Callable[[], Vitals]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version, sys_version = "fedmotion", ""

        def do_GET(self) -> None:
            try:
                status, kind, body = _answer(self.path, measures, look)
            except Exception:
                _log.exception("monitoring could not look")
                status, kind, body = 500, "application/json", _json({"status": "unknown"})
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody is interested in who scraped."""

    return Handler


def _answer(path: str, measures: Sequence[Measure], look: Callable[[], Vitals]) -> tuple[int, str, bytes]:
    """Status, content type and body for a request of `path`."""
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, page(measures, look())
    if path not in ("/healthz", "/readyz"):
        return 404, "application/json", _json({"status": "not found"})
    vitals = look()
    missing = (*vitals.down, *(vitals.waiting if path == "/readyz" else ()))
    found = {"status": "waiting" if missing else "ok", "missing": sorted(missing)}
    return 503 if missing else 200, "application/json", _json(found)


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value).encode() + b"\n"
