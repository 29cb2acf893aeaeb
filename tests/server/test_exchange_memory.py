"""Answers of many sites at once: they wait in the SuperLink, and the server's memory stays that of a few."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import pytest
import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from common.parcel import encode_hello, folded
from common.plain_arrays import packed, read_arrays
from protos import gate_pb2
from server import exchange
from server.exchange import Exchange
from simulations.grid import InProcessGrid

VALUES = 1000


def answer(message: Message, context: Context) -> Message:
    return Message(folded(packed(gate_pb2.Release(), {"total": torch.ones(VALUES)})), reply_to=message)


class Ready(InProcessGrid):
    """Nodes that have all answered when the server asks: it gets whatever it asks for, at once.

    `most` is the largest number of answers that were in memory together.
    """

    def __init__(self, sites: int) -> None:
        app = ClientApp()
        app.train()(answer)
        super().__init__(app, sites, {})
        self._alive: weakref.WeakSet[Message] = weakref.WeakSet()
        self.most = 0

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found = [self._answer(self._pushed.pop(number)) for number in message_ids if number in self._pushed]
        for message in found:
            self._alive.add(message)
        self.most = max(self.most, len(self._alive))
        return found


def summed(sites: int) -> tuple[float, int]:
    """The sum of all answers' first values, and how many were held together."""
    grid = Ready(sites)
    nodes = {node: "" for node in grid.get_node_ids() if node > 1}
    total = torch.zeros(VALUES)
    for _, found in Exchange(grid).answers(nodes, lambda _: encode_hello(), seconds=60.0, group="round 1"):
        total += read_arrays(found())["total"]
        del found
    return float(total[0]), grid.most


@pytest.mark.parametrize("sites", [3, 16, 64, 300])
def test_the_servers_memory_does_not_grow_with_the_number_of_sites(sites: int) -> None:
    count, most = summed(sites)
    assert count == sites
    assert most <= exchange._HELD + 2  # the last answer of a portion, and the first of the next


def test_answers_all_held_at_once_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_HELD", 10**6)
    assert summed(64)[1] == 64
