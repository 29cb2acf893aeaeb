"""Bytes are those of the messages: arrays, headers and seals."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from server.traffic import Traffic, size


def test_a_message_is_as_large_as_what_is_in_it() -> None:
    content = RecordDict({"header": ConfigRecord({"kind": "Query", "body": b"12345"})})
    assert size(content) == 10
    array = Array(np.zeros(100, dtype=np.float32))
    content["arrays"] = ArrayRecord({"x": array})
    assert size(content) == 10 + 1 + len(array.data) and 400 < len(array.data) < 600


def test_what_a_round_took_is_told_by_site() -> None:
    assert Traffic(110, 31).since(Traffic(10, 1), 10) == {"bytes_down": 10, "bytes_up": 3}
    assert Traffic().since(Traffic(), 0) == {"bytes_down": 0, "bytes_up": 0}
