"""The TLS front: what the network reaches of Flower's SuperLink, which itself listens on loopback alone.

It forwards the calls of `server.fleet.PATHS`, byte for byte as they are spelt there, and answers 404 to
everything else, so that nothing depends on two parsers agreeing about an unusual path. A request is
written anew for the SuperLink: no framing, no connection header and no upgrade passes.

uvicorn and httpx carry it: Flower pins both and speaks HTTP with them itself, so they are here already,
maintained, and their parser (h11) is strict. uvicorn by itself waits for ever for a slow head; `Guarded`
does not.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import h11
import httpx
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.fleet import (
    BODY_SECONDS,
    HEAD_SECONDS,
    MOST_BODY,
    MOST_CONNECTIONS,
    MOST_HEAD,
    MOST_OF_AN_ADDRESS,
    MOST_SECONDS,
    PATHS,
)
from server.front_count import FrontCount

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_PASSED: Final = (b"content-type", b"accept", b"user-agent")
_FLOWER: Final = b"flwr-"  # a SuperNode's key, signature, time, and the version that it runs
_ANSWERED: Final = (b"content-type", b"content-length", b"content-encoding")
_STATUS: Final = {400: b"bad request", 404: b"not found", 411: b"length required", 413: b"too large"}
_STATUS_LATE, _STATUS_GONE = 408, 502


class _GoneError(Exception):
    """The client went away."""


class Front:
    """An ASGI application that forwards the fleet's calls to `upstream`."""

    def __init__(
        self,
        upstream: httpx.AsyncClient,
        most_body: int = MOST_BODY,
        note: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._upstream = upstream
        self._note = note
        self._most_body = most_body

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        started = False

        async def tell(event: Event) -> None:
            nonlocal started
            started = True
            if event["type"] == "http.response.start":
                self._note(event["status"])
            async with asyncio.timeout(BODY_SECONDS):
                await send(event)

        status = self._verdict(scope)
        try:
            if status is None:
                async with asyncio.timeout(MOST_SECONDS):
                    return await self._forward(scope, receive, tell)
        except _GoneError:
            return
        except TimeoutError:
            status = _STATUS_LATE
        except (httpx.HTTPError, ssl.SSLError):
            status = _STATUS_GONE
        if status is not None and not started:
            self._note(status)
            await _refuse(status, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end: then the connections to the SuperLink are closed."""
        while True:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                await self._upstream.aclose()
                return await send({"type": "lifespan.shutdown.complete"})
            await send({"type": "lifespan.startup.complete"})

    def _verdict(self, scope: Event) -> int | None:
        """The status that refuses a request by its head, or None."""
        target = scope["raw_path"] + (b"?" if scope["query_string"] else b"")
        if scope["method"] != "POST" or target.decode("latin-1") not in PATHS:
            return 404
        # h11 measures a head that is incomplete; one that comes in a single read it takes whole.
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MOST_HEAD:
            return 400
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(name == b"transfer-encoding" for name, _ in scope["headers"]) or not lengths:
            return 411
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > len(str(self._most_body)):
            return 413 if len(lengths) == 1 and lengths[0].isdigit() else 400
        return 413 if int(lengths[0]) > self._most_body else None

    async def _forward(self, scope: Event, receive: Receive, send: Send) -> None:
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name in _PASSED or name == b"content-length" or name.startswith(_FLOWER)
        ]
        headers.append((b"accept-encoding", b"identity"))
        path = scope["raw_path"].decode("ascii")
        async with self._upstream.stream("POST", path, headers=headers, content=_body(receive)) as answer:
            told = [(name.lower(), value) for name, value in answer.headers.raw]
            await send({
                "type": "http.response.start",
                "status": answer.status_code,
                "headers": [pair for pair in told if pair[0] in _ANSWERED],
            })  # fmt: skip
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(BODY_SECONDS):
            event = await receive()
        if event["type"] == "http.disconnect":
            raise _GoneError
        if event.get("body"):
            yield event["body"]
        if not event.get("more_body"):
            return


async def _refuse(status: int, send: Send) -> None:
    """An answer without a word about what stands behind; the connection ends, whatever else is in it."""
    words = _STATUS.get(status, b"unavailable")
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(words)).encode())]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words})


class Guarded(H11Protocol):
    """uvicorn's connection with an end to its patience for heads, and a limit for each address."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        crowd = sum(
            isinstance(other, Guarded) and other.client is not None and self.client is not None
            and other.client[0] == self.client[0]
            for other in self.connections
        )  # fmt: skip
        if crowd > MOST_OF_AN_ADDRESS or len(self.connections) > MOST_CONNECTIONS:
            transport.close()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def _expect_head(self) -> None:
        self._forget()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._late)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _late(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()


def upstream(port: int, authority: str) -> httpx.AsyncClient:
    """The SuperLink on this machine, which shows the certificate in the file `authority` and no other."""
    return httpx.AsyncClient(
        base_url=f"https://localhost:{port}",
        verify=ssl.create_default_context(cafile=authority),
        timeout=httpx.Timeout(BODY_SECONDS, read=MOST_SECONDS),
        limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
        follow_redirects=False,
        trust_env=False,
    )


def configuration(application: Front, host: str, port: int, certificate: str, key: str) -> uvicorn.Config:
    """How uvicorn serves `application`: TLS 1.2 or newer, HTTP/1.1 alone, and no log of who asks."""
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        http=Guarded,
        ws="none",
        lifespan="on",
        loop="asyncio",
        interface="asgi3",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        h11_max_incomplete_event_size=MOST_HEAD,
        timeout_keep_alive=HEAD_SECONDS,
        timeout_graceful_shutdown=5,
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_level="warning",
    )


def main(arguments: list[str]) -> None:
    """Serve until stopped: HOST PORT CERTIFICATE KEY SUPERLINK_PORT AUTHORITY COUNTS."""
    host, port, certificate, key, behind, authority, counts = arguments
    application = Front(upstream(int(behind), authority), note=FrontCount(Path(counts)).add)
    uvicorn.Server(configuration(application, host, int(port), certificate, key)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
