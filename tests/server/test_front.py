"""The TLS front: a SuperNode's calls pass, and nothing else that anybody can put into a request does."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.superlink.routers.fleet.router import router

import server.front
from server.fleet import MOST_BODY, MOST_HEAD, MOST_OF_AN_ADDRESS, PATHS
from server.front import Event, Front
from server.loopback import AUTHORITY
from tests.server.fronts import (
    FLEET,
    Behind,
    ask,
    builtin,
    check_nothing_else_passes,
    check_the_fleet_passes,
    connected,
    post,
    superlink,
)


class Trusting(Front):
    """A front without its rules."""

    def _verdict(self, scope: Event) -> int | None:
        return None


class Prefix(Front):
    """A front that looks at the beginning of a path, as most configurations do."""

    def _verdict(self, scope: Event) -> int | None:
        return None if scope["raw_path"].startswith(b"/v1/fleet/") else 404


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with superlink(tmp_path_factory.mktemp("behind")) as found:
        yield found


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def test_it_knows_exactly_flowers_calls_of_the_fleet() -> None:
    assert {str(getattr(route, "path", "")) for route in router.routes} == PATHS


def test_a_supernodes_calls_pass_and_nothing_else(behind: Behind) -> None:
    with builtin(behind) as port:
        check_the_fleet_passes(port, behind)
        check_nothing_else_passes(port, behind)
        check_the_fleet_passes(port, behind)


@pytest.mark.parametrize("kind", [Trusting, Prefix])
def test_control_a_front_without_the_rules_is_caught(behind: Behind, kind: type[Front]) -> None:
    with builtin(behind, kind) as port:
        check_the_fleet_passes(port, behind)
        with pytest.raises(AssertionError):
            check_nothing_else_passes(port, behind)


def test_what_a_client_says_of_its_connection_or_of_others_does_not_pass(behind: Behind) -> None:
    behind.asked.clear()
    with builtin(behind) as port:
        said = "x-forwarded-for: 1.2.3.4\r\ncookie: a=b\r\nupgrade: h2c\r\nte: trailers\r\n"
        answer = ask(port, behind.folder / AUTHORITY, post(FLEET, b"", said))
    names = set(behind.asked[0].headers)
    assert not names & {"x-forwarded-for", "cookie", "upgrade", "te"}
    assert behind.asked[0].headers["host"].startswith("localhost")
    assert b"x-inside" not in answer.lower()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post("/v1/control/list-runs"), 404),
        (post(FLEET, headers="transfer-encoding: chunked\r\n"), 411),
        (f"POST {FLEET} HTTP/1.1\r\nhost: a\r\n\r\n".encode(), 411),
        (post(FLEET, headers=f"content-length: {MOST_BODY + 1}\r\n"), 413),
        (post(FLEET, headers=f"content-length: {'9' * 12}\r\n"), 413),
        (post(FLEET, headers=f"x: {'a' * MOST_HEAD}\r\n"), 400),
        (post(FLEET, headers="x: a\r\n" * (MOST_HEAD // 6 + 1)), 400),
        (post(FLEET, headers="content-length: 1\r\ncontent-length: 2\r\n"), 400),
    ],
)
def test_a_refusal_has_its_status_and_says_nothing_of_what_is_behind(
    behind: Behind, request_: bytes, status: int
) -> None:
    behind.asked.clear()
    with builtin(behind) as port:
        answer = ask(port, behind.folder / AUTHORITY, request_)
    assert status_of(answer) == status and len(answer) < 400
    assert not behind.asked and b"uvicorn" not in answer.lower() and b"flwr" not in answer.lower()


@pytest.mark.parametrize("begun", [b"POST /v1/fleet", post(FLEET)[:-1], b""])
def test_a_head_that_never_ends_is_hung_up_on(
    behind: Behind, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.front, "HEAD_SECONDS", 0.3)
    with builtin(behind) as port, connected(port, behind.folder / AUTHORITY) as secure:
        if begun:
            secure.sendall(begun)
        assert read_to_end(secure) == b""


def test_a_body_that_never_comes_is_hung_up_on(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.front, "BODY_SECONDS", 0.3)
    with builtin(behind) as port, connected(port, behind.folder / AUTHORITY) as secure:
        secure.sendall(post(FLEET, b"ab", "content-length: 3\r\n"))
        assert status_of(read_to_end(secure)) == 408


def test_one_address_has_so_many_connections_and_no_more(behind: Behind) -> None:
    with builtin(behind) as port:
        opened = [connected(port, behind.folder / AUTHORITY) for _ in range(MOST_OF_AN_ADDRESS)]
        secured = [each.__enter__() for each in opened]
        with connected(port, behind.folder / AUTHORITY) as one_more:
            assert read_to_end(one_more) == b""
        secured[0].sendall(post(FLEET))
        assert status_of(read_to_end(secured[0])) == 200
        for each in opened:
            each.__exit__(None, None, None)


def test_a_superlink_with_another_certificate_is_not_believed(behind: Behind, tmp_path: Path) -> None:
    behind.asked.clear()
    with superlink(tmp_path) as other:
        other.port = behind.port
        with builtin(other) as port:
            assert status_of(ask(port, tmp_path / AUTHORITY, post(FLEET))) == 502
    assert not behind.asked


def read_to_end(secure: ssl.SSLSocket) -> bytes:
    answer = b""
    try:
        while piece := secure.recv(1 << 16):
            answer += piece
    except (ConnectionError, ssl.SSLError):
        pass
    return answer
