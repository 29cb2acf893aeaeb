"""Flower alone: an app whose messages have our sizes and numbers, and that computes nothing.

Copied into a bundle of its own by `simulations.benchmarks.bare`. A round is a list of exchanges; each says
how many bytes of header and which float32 arrays go down and come up. Contents are fresh every time:
Flower would send equal objects once.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

_POLL = 0.5
_EAGER = 0.1
_TTL = 600.0

server = ServerApp()
client = ClientApp()


@client.train()
def answer(message: Message, context: Context) -> Message:
    """What the question says it wants back."""
    wanted = json.loads(str(message.content.config_records["wanted"]["json"]))
    return Message(_content(*wanted), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """All rounds; `times` gets one line when a round is done."""
    settings = json.loads(Path(str(context.run_config["settings"])).read_text(encoding="utf-8"))
    while len(nodes := list(grid.get_node_ids())) < settings["sites"]:
        time.sleep(0.2)
    times = Path(settings["times"])
    for _ in range(settings["rounds"]):
        for down, up in settings["exchanges"]:
            arrays = _content(*down)
            _exchange(grid, nodes, arrays, up)
        with times.open("a", encoding="utf-8") as file:
            file.write(f"{time.monotonic()}\n")


def _exchange(grid: Grid, nodes: list[int], content: RecordDict, up: list[object]) -> None:
    """One question to all and the sum of their answers."""
    content["wanted"] = ConfigRecord({"json": json.dumps(up)})
    began = time.monotonic()
    waiting = set(grid.push_messages([Message(content, node, "train", ttl=_TTL) for node in nodes]))
    total: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    while waiting:
        for reply in grid.pull_messages(waiting):
            waiting.remove(reply.metadata.reply_to_message_id)
            for name, array in reply.content.array_records["arrays"].items():
                total[name] = total.get(name, np.zeros(())) + array.numpy()
        time.sleep(min(_POLL, _EAGER * (time.monotonic() - began)))


def _content(header: int, arrays: list[int]) -> RecordDict:
    """A header of so many bytes, and float32 arrays of so many numbers."""
    random = np.random.default_rng()
    made = {str(i): Array(random.random(size, np.float32)) for i, size in enumerate(arrays)}
    header_record = ConfigRecord({"body": os.urandom(header)})
    return RecordDict({"header": header_record, "arrays": ArrayRecord(made)})
