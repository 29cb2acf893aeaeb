"""A SuperLink that only writes down what it is asked, and fronts of every kind before it, on real sockets."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import uvicorn

from server.fleet import PATHS
from server.front import Front, configuration, upstream
from server.loopback import AUTHORITY, CERTIFICATE, KEY, prepare_loopback
from server.superlink import free_port, listens

FLEET = "/v1/fleet/pull-messages"
CONTROL = "/v1/control/list-runs"
ANSWER = b"answer" * 40_000


@dataclass(frozen=True)
class Asked:
    """One request as it reached the SuperLink."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Behind:
    """What stands behind a front: its port, and all that it was asked."""

    folder: Path
    port: int
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def superlink(folder: Path) -> Iterator[Behind]:
    """It answers everything with 200 and `ANSWER`, under TLS with the loopback certificate."""
    prepare_loopback(folder)
    behind = Behind(folder, 0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            behind.asked.append(Asked(self.command, self.path, headers, body))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(ANSWER)))
            self.send_header("x-inside", "secret")
            self.end_headers()
            self.wfile.write(ANSWER)

        do_GET = do_POST = do_OPTIONS = do_CONNECT = answer  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    behind.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield behind
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def builtin(behind: Behind, kind: type[Front] = Front) -> Iterator[int]:
    """Our own front, or one of another `kind`, in a thread; its port."""
    folder, port = behind.folder, free_port()
    application = kind(upstream(behind.port, str(folder / AUTHORITY)))
    config = configuration(application, "127.0.0.1", port, str(folder / CERTIFICATE), str(folder / KEY))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        await_true(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def proxy(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """A proxy of another make, in the foreground, until the body ends."""
    environment = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            await_true(lambda: listens("127.0.0.1", port) or process.poll() is not None)
            assert process.poll() is None, (folder / "proxy.log").read_text()
            yield
        finally:
            process.terminate()
            process.wait(20)


def found(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")


def await_true(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


@contextmanager
def connected(port: int, authority: Path, host: str = "localhost") -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(authority))
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    with plain, context.wrap_socket(plain, server_hostname=host) as secure:
        yield secure


def ask(port: int, authority: Path, request: bytes) -> bytes:
    """All that comes back to `request`, until the other side hangs up."""
    with connected(port, authority) as secure:
        answer = b""
        try:
            secure.sendall(request)
            while piece := secure.recv(1 << 16):
                answer += piece
        except (ConnectionError, ssl.SSLError):  # hung up on while sending
            pass
        return answer


def post(target: str, body: bytes = b"", headers: str = "", method: str = "POST") -> bytes:
    """A request that asks for the connection to be closed."""
    length = f"content-length: {len(body)}\r\n" if "ength" not in headers and "ransfer" not in headers else ""
    lines = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{length}{headers}\r\n"
    return lines.encode("latin-1") + body


CHUNKED = "transfer-encoding: chunked\r\n"
HIDDEN = post(CONTROL)
ATTACKS: dict[str, bytes] = {
    "control": post(CONTROL),
    "runtime": post("/v1/runtime/acquire-task"),
    "documentation": post("/docs", method="GET"),
    "root": post("/"),
    "another call of the fleet": post("/v1/fleet/list-nodes"),
    "another method": post(FLEET, method="GET"),
    "two slashes": post("//v1/fleet/../control/list-runs"),
    "dots": post("/v1/fleet/../control/list-runs"),
    "dots behind": post(f"{FLEET}/../../control/list-runs"),
    "escaped dots": post("/v1/fleet/%2e%2e/control/list-runs"),
    "escaped slash": post("/v1/fleet/..%2fcontrol/list-runs"),
    "twice escaped": post("/v1/fleet/%252e%252e/control/list-runs"),
    "backslash": post("/v1/fleet/..\\control\\list-runs"),
    "escaped letter": post("/v1/%63ontrol/list-runs"),
    "escaped letter of the fleet": post("/v1/fleet/pull%2dmessages"),
    "capitals": post("/V1/CONTROL/list-runs"),
    "capitals of the fleet": post("/v1/Fleet/pull-messages"),
    "slash behind": post(f"{FLEET}/"),
    "parameter": post(f"{FLEET};/../../control/list-runs"),
    "question": post(f"{FLEET}?/v1/control/list-runs"),
    "nothing behind a letter": post(f"{FLEET}%00"),
    "absolute form": post(f"https://localhost{CONTROL}"),
    "absolute form of the fleet with dots": post("https://localhost/v1/fleet/../control/list-runs"),
    "connect": post("localhost:443", method="CONNECT"),
    "options": post("*", method="OPTIONS"),
    "upgrade": post(
        CONTROL, headers="upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: a\r\n"
    ),
    "a request in a chunked body": post(FLEET, b"0\r\n\r\n" + HIDDEN, CHUNKED),
    "chunks and a length": post(FLEET, b"0\r\n\r\n" + HIDDEN, CHUNKED + f"content-length: {len(HIDDEN)}\r\n"),
    "a hidden transfer encoding": post(FLEET, b"0\r\n\r\n" + HIDDEN, "Transfer-Encoding : chunked\r\n"),
    "two lengths": post(FLEET, HIDDEN, f"content-length: 0\r\ncontent-length: {len(HIDDEN)}\r\n"),
    "a signed length": post(FLEET, HIDDEN, "content-length: +0\r\n"),
    "a line that goes on": post(CONTROL, headers="x-a: b\r\n\tc: d\r\n"),
    "old HTTP": f"POST {CONTROL} HTTP/1.0\r\n\r\n".encode(),
    "no HTTP": b"hello\r\n\r\n",
}
"""None of them may reach the SuperLink, unless as a call of the fleet."""


def check_nothing_else_passes(port: int, behind: Behind) -> None:
    """Every attack: what reaches the SuperLink, if anything, is spelt as a call of the fleet, with POST."""
    for name, request in ATTACKS.items():
        behind.asked.clear()
        ask(port, behind.folder / AUTHORITY, request)
        reached = [(asked.method, asked.target) for asked in behind.asked]
        assert all(method == "POST" and target in PATHS for method, target in reached), (name, reached)


def check_the_fleet_passes(port: int, behind: Behind) -> None:
    """A SuperNode's request arrives as it was sent, and its answer comes back whole."""
    behind.asked.clear()
    body = bytes(range(256)) * 20_000
    headers = "content-type: application/x-protobuf\r\nflwr-public-key: a2V5\r\nflwr-signature: c2ln\r\n"
    headers += "flwr-timestamp: 2026-01-01T00:00:00+00:00\r\n"
    answer = ask(port, behind.folder / AUTHORITY, post(FLEET, body, headers))
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(ANSWER)
    (asked,) = behind.asked
    assert (asked.method, asked.target, asked.body) == ("POST", FLEET, body)
    said = {
        name: value for name, value in asked.headers.items() if name.startswith(("flwr-", "content-type"))
    }
    assert said == dict(line.split(": ", 1) for line in headers.strip().split("\r\n"))
