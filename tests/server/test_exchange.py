"""Questions and answers over a grid: as they arrive, in order where it matters, none after the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from common.errors import Refusal
from common.parcel import decode_hello, encode_hello, folded, unfolded
from server.exchange import Exchange, in_order
from simulations.grid import InProcessGrid

SITES = 5


class Slow(InProcessGrid):
    """Its nodes answer last come, first served; some never do."""

    silent: frozenset[int] = frozenset()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        for number in sorted(message_ids, key=int, reverse=True):
            if number in self._pushed and self._pushed[number].metadata.dst_node_id not in self.silent:
                return [self._answer(self._pushed.pop(number))]
        return []


def echo() -> ClientApp:
    app = ClientApp()

    @app.train()
    def answer(message: Message, context: Context) -> Message:
        told = decode_hello(unfolded(message.content))
        return Message(folded(encode_hello(f"{told}, {context.node_id}")), reply_to=message)

    return app


@pytest.fixture
def grid() -> Slow:
    return Slow(echo(), SITES, {})


def names(exchange: Exchange, nodes: Iterable[int], seconds: float = 60.0) -> list[tuple[int, str]]:
    asked = dict.fromkeys(nodes, "")
    answers = exchange.answers(asked, lambda node: encode_hello(f"q{node}"), seconds=seconds, group="g")
    return [(node, decode_hello(answer())) for node, answer in answers]


def test_answers_come_as_they_arrive_each_with_its_own_question(grid: Slow) -> None:
    nodes = sorted(grid.get_node_ids())
    found = names(Exchange(grid), nodes)
    assert [node for node, _ in found] == nodes[::-1]
    assert all(told == f"q{node}, {node}" for node, told in found)


def test_in_order_they_come_in_the_order_of_the_nodes(grid: Slow) -> None:
    nodes = sorted(grid.get_node_ids())
    asked = dict.fromkeys(nodes, "")
    answers = Exchange(grid).answers(asked, lambda _: encode_hello("q"), seconds=60.0, group="g")
    assert [node for node, _ in in_order(nodes, answers)] == nodes


def test_who_is_silent_at_the_deadline_has_no_answer_and_its_later_one_is_never_read(grid: Slow) -> None:
    nodes = sorted(grid.get_node_ids())
    grid.silent = frozenset(nodes[:2])
    asked = dict.fromkeys(nodes, "")
    heard, silent = [], []
    answers = Exchange(grid).answers(asked, lambda _: encode_hello("old"), seconds=0.2, group="g")
    for node, answer in answers:
        try:
            heard.append(decode_hello(answer()))
        except Refusal:
            silent.append(node)
    assert len(heard) == 3 and silent == nodes[:2]
    grid.silent = frozenset()
    assert all(told.startswith("q") for _, told in names(Exchange(grid), nodes))


def test_no_more_than_a_window_of_questions_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.exchange._IN_FLIGHT", 2)
    grid = Slow(echo(), SITES, {})
    most = 0
    real = grid.push_messages

    def push(messages: Iterable[Message]) -> Iterable[str]:
        nonlocal most
        pushed = real(messages)
        most = max(most, len(grid._pushed))
        return pushed

    monkeypatch.setattr(grid, "push_messages", push)
    assert len(names(Exchange(grid), sorted(grid.get_node_ids()))) == SITES
    assert most == 2


def test_a_node_that_cannot_be_reached_is_no_reason_to_wait(
    grid: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "push_messages", lambda messages: [None])
    ended = threading.Event()

    def ask() -> None:
        answers = Exchange(grid).answers({2: "", 3: ""}, lambda _: encode_hello(), seconds=3600.0, group="g")
        for _, answer in answers:
            with pytest.raises(Refusal, match="no answer"):
                answer()
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    start = time.monotonic()
    assert ended.wait(30) and time.monotonic() - start < 30
