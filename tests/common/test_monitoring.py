"""Health and metrics over a real socket: loopback alone, one table of what may be told, no words."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from common.errors import InputError
from common.monitoring import Measure, Vitals, monitoring, page

UP = Measure(name="fedmotion_up", help="1 while it runs.", labels=("process",), public="of the machine")
ASKED = Measure(name="fedmotion_asked", help="Questions.", kind="counter", public="the asker knows")
FINE = Vitals(values={"fedmotion_up": {("gate",): 1.0}, "fedmotion_asked": {(): 3.0}})


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    status, text = answer.status, answer.read().decode()
    connection.close()
    return status, text


def asked(look: Callable[[], Vitals], path: str) -> tuple[int, str]:
    with monitoring(0, (UP, ASKED), look) as port:
        assert port is not None
        return get(port, path)


def test_metrics_are_what_prometheus_reads() -> None:
    status, text = asked(lambda: FINE, "/metrics")
    assert status == 200
    assert text.splitlines() == [
        "# HELP fedmotion_up 1 while it runs.",
        "# TYPE fedmotion_up gauge",
        'fedmotion_up{process="gate"} 1.0',
        "# HELP fedmotion_asked_total Questions.",
        "# TYPE fedmotion_asked_total counter",
        "fedmotion_asked_total 3.0",
    ]


@pytest.mark.parametrize(
    ("vitals", "health", "readiness"),
    [
        (FINE, 200, 200),
        (Vitals(values={}, waiting=("no answer of the gate",)), 200, 503),
        (Vitals(values={}, down=("gate",)), 503, 503),
    ],
)
def test_healthy_means_up_and_ready_means_at_work(vitals: Vitals, health: int, readiness: int) -> None:
    for path, expected in (("/healthz", health), ("/readyz", readiness)):
        status, text = asked(lambda: vitals, path)
        assert status == expected
        assert json.loads(text)["status"] == ("ok" if status == 200 else "waiting")
    assert "gate" in json.loads(text)["missing"] or not vitals.down


def test_what_is_in_no_table_cannot_be_told() -> None:
    vitals = Vitals(values={"fedmotion_people_drawn": {(): 17.0}})
    with pytest.raises(ValueError, match="no such measure: fedmotion_people_drawn"):
        page((UP, ASKED), vitals)
    status, text = asked(lambda: vitals, "/metrics")
    assert status == 500 and "17" not in text and "drawn" not in text


def test_a_look_that_fails_answers_without_words() -> None:
    def fail() -> Vitals:
        raise OSError("ann_walk.bvh: permission denied")

    for path in ("/metrics", "/healthz", "/readyz"):
        status, text = asked(fail, path)
        assert (status, json.loads(text)) == (500, {"status": "unknown"})


def test_it_listens_on_loopback_alone_and_is_gone_afterwards() -> None:
    with monitoring(0, (UP,), lambda: FINE) as port:
        assert port is not None
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))
        assert get(port, "/")[0] == 404 and get(port, "/metrics?x")[0] == 404
        assert get(port, "/metrics", "POST")[0] == 501
    with pytest.raises(ConnectionRefusedError):
        get(port, "/healthz")


def test_without_a_port_it_is_off_and_a_taken_port_is_named() -> None:
    with monitoring(None, (UP,), lambda: FINE) as port:
        assert port is None
    with ExitStack() as stack:
        taken = stack.enter_context(monitoring(0, (UP,), lambda: FINE))
        with pytest.raises(InputError, match=f"monitoring = {taken}: Address already in use; choose another"):
            stack.enter_context(monitoring(taken, (UP,), lambda: FINE))
