"""Questions and answers over a grid: as they arrive, in order where it matters, none after the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run
from flwr.superlink.grid.http_grid import HttpGrid

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


class Announcing:
    """A SuperLink to which some nodes announce an answer and never bring its content."""

    def __init__(self, halting: Iterable[int]) -> None:
        self._halting = set(halting)
        self._replies = list[Message]()
        self._content = dict[str, bytes]()

    def tell(self, question: Message) -> str:
        number, node = f"question {len(self._replies)}", question.metadata.dst_node_id
        question.metadata.__dict__["_message_id"] = number
        reply = Message(folded(encode_hello(f"node {node}")), reply_to=question)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        self._replies.append(reply)
        if node not in self._halting:
            found = get_all_nested_objects(reply)
            self._content.update({name: found[name].deflate() for name in found})
        return number

    def PullMessages(self, asked: Any) -> PullAppMessagesResponse:  # noqa: N802
        """Each once, as Flower claims them."""
        given = [reply for reply in self._replies if reply.metadata.reply_to_message_id in asked.message_ids]
        given.sort(key=lambda reply: reply.metadata.src_node_id not in self._halting)
        self._replies = [reply for reply in self._replies if reply not in given]
        return PullAppMessagesResponse(
            messages_list=[message_to_proto(reply) for reply in given],
            message_object_trees=[get_object_tree(reply) for reply in given],
        )

    def PullObject(self, asked: Any) -> PullObjectResponse:  # noqa: N802
        content = self._content.get(asked.object_id)
        return PullObjectResponse(
            object_found=True, object_available=content is not None, object_content=content or b""
        )

    def ConfirmMessageReceived(self, asked: Any) -> None:  # noqa: N802
        pass


class OverHttp(HttpGrid):
    """Flower's own grid of a deployment, whose questions are answered at once."""

    def __init__(self, superlink: Announcing) -> None:
        super().__init__(token="token")
        self._client: Any = superlink
        self._run = Run.create_empty(1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._client.tell(message) for message in messages]


@pytest.mark.timeout(60)
def test_an_answer_that_is_announced_and_never_comes_holds_nobody_up_beyond_the_deadline() -> None:
    """Flower would wait three minutes for it, and lose the answers that come with it meanwhile."""
    grid, asked = OverHttp(Announcing(halting=[2, 5])), dict.fromkeys(range(2, 12), "")
    found = {}
    for node, answer in Exchange(grid).answers(asked, lambda _: encode_hello(), seconds=2.0, group="g"):
        try:
            found[node] = decode_hello(answer())
        except Refusal as refusal:
            found[node] = str(refusal)
    missing = {2: "no answer", 5: "no answer"}
    assert found == {node: f"node {node}" for node in asked} | missing
