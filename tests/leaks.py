"""Builds that tell: a reply, or the process, says more than the release."""

from __future__ import annotations

import functools
import inspect
import logging
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict
from torch import Tensor

import client.app
import client.door
import client.gate
from client.door import Door
from common import logs
from common.errors import Refusal
from common.parcel import encode_refusal, folded, kind_of
from common.query import Release
from common.wire import encode_release

Patch = pytest.MonkeyPatch
Sum = Callable[..., Tensor]


def wrap_sum(
    patch: Patch, wrapper: Callable[[Sum, dict[str, Any]], Tensor], name: str = "clipped_sum"
) -> None:
    """Put `wrapper` around the gate's clipped sum; it gets the real one and its arguments by name."""
    real: Sum = vars(client.gate)[name]
    signature = inspect.signature(real)

    @functools.wraps(real)
    def wrapped(*arguments: Any, **named: Any) -> Tensor:
        return wrapper(real, dict(signature.bind(*arguments, **named).arguments))

    patch.setattr(client.gate, name, wrapped)


@contextmanager
def noting_sums() -> Iterator[list[Tensor]]:
    """Every sum of whole numbers of any gate before its share of noise, `[dimension]` int64."""
    sums: list[Tensor] = []

    def noting(real: Sum, given: dict[str, Any]) -> Tensor:
        sums.append(real(**given))
        return sums[-1]

    with pytest.MonkeyPatch.context() as patch:
        wrap_sum(patch, noting, "integer_sum")
        yield sums


def carry_all(patch: Patch) -> None:
    """The messenger passes on whatever it is given; the real one carries the records of a message alone."""

    def carried(content: RecordDict) -> RecordDict:
        own = RecordDict({name: content[name] for name in content if name in ("header", "arrays", "seal")})
        more = {name: content[name] for name in content if name not in own}
        return RecordDict({**(folded(own) if own else {}), **more})

    patch.setattr(client.app, "folded", carried)


def leak_count(patch: Patch) -> None:
    """The reply says how many people the round was made of, as Flower's examples do."""
    seen: list[int] = []

    def counted(real: Sum, given: dict[str, Any]) -> Tensor:
        seen.append(len(given["units"]))
        return real(**given)

    def encode(release: Release) -> RecordDict:
        content = encode_release(release)
        content["metrics"] = MetricRecord({"num-examples": seen[-1]})
        return content

    wrap_sum(patch, counted)
    patch.setattr(client.door, "encode_release", encode)
    carry_all(patch)


def leak_norm(patch: Patch) -> None:
    """The reply says how far people were from the mean: the norm of the sum before the noise."""
    seen: list[float] = []

    def measured(real: Sum, given: dict[str, Any]) -> Tensor:
        found = real(**given)
        seen.append(float(found.norm()))
        return found

    def encode(release: Release) -> RecordDict:
        content = encode_release(release)
        content["metrics"] = MetricRecord({"train_loss": seen[-1]})
        return content

    wrap_sum(patch, measured)
    patch.setattr(client.door, "encode_release", encode)
    carry_all(patch)


def leak_text(patch: Patch) -> None:
    """The reply says in words what went wrong."""

    def answer(self: Door, content: RecordDict) -> RecordDict:
        try:
            return self._handlers[kind_of(content)](content)
        except Refusal as refusal:
            content = encode_refusal(refusal.code)
            content["reason"] = ConfigRecord({"text": str(refusal)})
            return content
        except Exception as error:
            return RecordDict({"reason": ConfigRecord({"text": repr(error)})})

    patch.setattr(Door, "answer", answer)
    carry_all(patch)


def leak_crash(patch: Patch) -> None:
    """A failure of the gate is not caught: Flower sends its words."""

    def open_handed(self: Door, content: RecordDict) -> RecordDict:
        return self._handlers[kind_of(content)](content)

    patch.setattr(Door, "answer", open_handed)


def leak_length(patch: Patch) -> None:
    """A release as long as it has news: a count in the length of the message."""

    def encode(release: Release) -> RecordDict:
        content = encode_release(release)
        content["padding"] = ConfigRecord({"x": bytes(int(release.total.abs().sum()) % 97)})
        return content

    patch.setattr(client.door, "encode_release", encode)
    carry_all(patch)


def gate_that(act: Callable[[int], object]) -> Callable[[Patch], None]:
    """The gate does something of its own with the number of people drawn."""

    def sabotage(patch: Patch) -> None:
        def noisy(real: Sum, given: dict[str, Any]) -> Tensor:
            act(len(given["units"]))
            return real(**given)

        wrap_sum(patch, noisy)

    return sabotage


def send(count: int) -> None:
    """To this machine's discard port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(str(count).encode(), ("127.0.0.1", 9))


def talkative_log(patch: Patch) -> None:
    """The operational log says why, as most logs do."""
    real = logs.event_of

    def told(record: logging.LogRecord) -> dict[str, Any] | None:
        found = real(record)
        why = record.exc_info[1] if record.exc_info else record.getMessage()
        return None if found is None else {**found, "why": repr(why)}

    patch.setattr(logs, "event_of", told)


def counting_log(patch: Patch) -> None:
    """The operational log and the metrics have an entry for everybody drawn."""

    def noisy(real: Sum, given: dict[str, Any]) -> Tensor:
        for _ in given["units"]:
            logging.getLogger("fedmotion.client").info("one", extra=logs.event("answered", kind="Query"))
        return real(**given)

    wrap_sum(patch, noisy)


def note(count: int) -> None:
    with tempfile.TemporaryFile("w") as file:
        file.write(str(count))


LEAKS: Final[dict[str, Callable[[Patch], None]]] = {
    "leak_count": leak_count,
    "leak_norm": leak_norm,
    "leak_text": leak_text,
    "leak_crash": leak_crash,
    "leak_length": leak_length,
    "talkative_log": talkative_log,
    "counting_log": counting_log,
    "prints": gate_that(lambda count: print("drawn", count)),
    "sends": gate_that(send),
    "writes_a_file": gate_that(note),
    "starts_a_process": gate_that(lambda count: subprocess.run(["true", str(count)], check=True)),
}
