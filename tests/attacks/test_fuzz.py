"""T12: every kind of message, broken in every way, at the site's door and at the server's decoders.

Half of them are sealed again by the true key, so that what is behind the seal is tried too. Nothing raises
but a Refusal, and nothing is charged, accepted or believed that was not before.
"""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from flwr.app import RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import parcel
from common.errors import Refusal, RefusalCode
from common.parcel import decode_hello, kind_of, require_form
from common.seal import COORDINATOR, Seal, seal, unseal
from common.secagg import messages
from common.secagg.wire import decode, encode
from common.signing import public_name
from common.wire import decode_acceptance, decode_release, decode_shares, encode_plan, encode_query, for_site
from protos import gate_pb2
from tests.federation import Federation, key_of, state_of
from tests.mutation import mutated

NAMES: Final = ("east", "north", "west")
ATTEMPT: Final = "a" * 32


class Conversation:
    """One whole round at real doors under secure aggregation: every message and every answer, at `north`."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        federation.enrol()
        self.plan = federation.plan
        self.state = state_of(self.plan, 1)
        facts: dict[str, Any] = {"run_id": "run", "plan_digest": self.plan.digest(), "round": 1}
        self.asked: dict[str, RecordDict] = {}
        self.answers: dict[str, RecordDict] = {}
        advertise = messages.Advertise(**facts, attempt=ATTEMPT)
        keys = self._all(messages.Keys, encode(advertise))
        cohort = messages.Cohort(**facts, attempt=ATTEMPT, keys=tuple(keys))
        shared = self._all(messages.Shared, encode(cohort))
        self.query = federation.query(self.state, cohort=cohort.digest())
        for name in NAMES:
            boxes = [box for s in shared for box in s.shares if box.recipient == name]
            self._ask(name, for_site(encode_query(self.query, self.state), self.query, boxes))
        confirm = messages.Confirm(**facts, cohort=cohort.digest(), survivors=NAMES)
        confirmed = self._all(messages.Confirmed, encode(confirm))
        unmask = messages.Unmask(**vars(confirm), confirmed=tuple(confirmed))
        self._all(messages.Unmasked, encode(unmask))
        self._ask("north", encode_plan(self.plan, {}))

    def _all(self, kind: type[Any], content: RecordDict) -> list[Any]:
        return [decode(self._ask(name, content), kind) for name in NAMES]

    def _ask(self, name: str, content: RecordDict) -> RecordDict:
        answer = self.federation.exchange(name, content)
        assert kind_of(answer) != "Refused", kind_of(content)
        if name == "north":
            self.asked[kind_of(content)], self.answers[kind_of(answer)] = content, answer
        return answer

    def kept(self) -> tuple[object, ...]:
        ledger = self.federation.sites["north"].ledger
        return tuple(ledger.accounts.plans), ledger.events(), ledger.tip


class Crashes(logging.Handler):
    """Exceptions that reached the door: a Refusal is none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(repr(record.exc_info[1]))


@contextmanager
def conversation(folder: Path) -> Iterator[Conversation]:
    logger, crashes = logging.getLogger("fedmotion.client"), Crashes()
    changes: dict[str, Any] = {"trust": "secagg", "min_sites": 3, "scale": 2**20, "noise_multiplier": 2.0}
    with Federation(folder, *NAMES, **changes) as federation:
        logger.addHandler(crashes)
        logger.propagate = False
        try:
            yield Conversation(federation)
        finally:
            logger.removeHandler(crashes)
            logger.propagate = True
    assert not crashes.found, crashes.found[:3]


def try_door(talk: Conversation, draw: random.Random, tried: Counter[str]) -> None:
    """One broken question at the door: a code, or what the whole one was answered with, to the byte."""
    federation, door = talk.federation, talk.federation.sites["north"].door
    kind = draw.choice([name for name in talk.asked if name != "Advertise"])
    content = talk.asked[kind]
    if draw.random() < 0.5:
        question = mutated(federation.sealed("north", content)[0], draw)
    else:
        question = resealed(mutated(content, draw), federation)
    answer = door.answer(question)
    require_form(answer)
    said = kind_of(answer)
    if said == "Refused":
        code = gate_pb2.Refused.FromString(parcel.body_of(answer)).code
        assert RefusalCode(code)
        tried[code] += 1
        return
    tried[said] += 1
    assert parcel.body_of(answer) == parcel.body_of(talk.answers[said])


def resealed(content: RecordDict, federation: Federation) -> RecordDict:
    """What a hostile server sends: broken, and under its true seal where that can be made."""
    try:
        return federation.sealed("north", content)[0]
    except Refusal:
        return content


def check_door(folder: Path, count: int, seed: int = 0) -> None:
    """`count` broken questions: the ledger stays as it is, and the door too."""
    draw, tried = random.Random(seed), Counter[str]()
    with conversation(folder) as talk:
        kept = talk.kept()
        for _ in range(count):
            try_door(talk, draw, tried)
        assert talk.kept() == kept
        door = talk.federation.sites["north"].door
        assert kind_of(door.answer(talk.federation.sealed("north", talk.asked["Query"])[0])) == "Release"
    assert {"FOREIGN", "MALFORMED"} <= set(tried)


Decoder = Callable[[RecordDict], object]


def decoders(talk: Conversation) -> dict[str, Decoder]:
    """All that a server reads an answer with."""
    found: dict[str, Decoder] = {
        "Accepted": decode_acceptance,
        "Release": lambda content: decode_release(content, talk.query, talk.plan),
        "Hello": decode_hello,
        "Query": decode_shares,
    }
    for kind in (messages.Keys, messages.Shared, messages.Confirmed, messages.Unmasked):
        found[kind.__name__] = partial(decode, kind=kind)
    return found


def try_server(
    talk: Conversation, read: dict[str, Decoder], asked: dict[str, Seal], draw: random.Random
) -> None:
    """One broken answer: no seal is true of it, and whatever it is given to raises a Refusal or reads it."""
    said = draw.choice(list(talk.answers))
    whole = talk.answers[said]
    answer = mutated(whole, draw)
    try:
        unseal(answer, public_name(key_of("north")), "north", COORDINATOR, asked[said].digest())
    except Refusal:
        pass
    else:
        assert same(answer, whole)
    for kind in {said, draw.choice(list(read))}:
        try:
            found = read[kind](answer)
        except Refusal:
            continue
        if kind == "Release":
            assert getattr(found, "query_digest", "") == talk.query.digest(talk.plan.trust)
            assert getattr(found, "total", torch.empty(0)).shape == (talk.plan.dimension,)


def same(one: RecordDict, other: RecordDict) -> bool:
    """Whether all that a seal binds is the same: kind and body; arrays are bound by the body."""
    return (kind_of(one), parcel.body_of(one)) == (kind_of(other), parcel.body_of(other))


def check_server(folder: Path, count: int, seed: int = 0) -> None:
    draw = random.Random(seed)
    with conversation(folder) as talk:
        read, asked = decoders(talk), reasked(talk)
        for _ in range(count):
            try_server(talk, read, asked, draw)


def reasked(talk: Conversation) -> dict[str, Seal]:
    """The answers of `talk` once more, with the seals of the questions that they answer."""
    found = {}
    for said, answer in talk.answers.items():
        plain = RecordDict({name: answer[name] for name in ("header", "arrays") if name in answer})
        found[said] = mark = talk.federation.sealed("north", talk.asked["Query"])[1]
        key = talk.federation.sites["north"].membership.key
        talk.answers[said] = seal(plain, key, "north", COORDINATOR, mark.digest())[0]
    return found


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(draw=st.randoms(use_true_random=False))
def broken_at_the_door(talk: Conversation, draw: random.Random) -> None:
    try_door(talk, draw, Counter())


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(draw=st.randoms(use_true_random=False))
def broken_at_the_server(
    talk: Conversation, read: dict[str, Decoder], asked: dict[str, Seal], draw: random.Random
) -> None:
    try_server(talk, read, asked, draw)


def test_broken_messages_are_refused_and_break_nothing(tmp_path: Path) -> None:
    with conversation(tmp_path) as talk:
        kept = talk.kept()
        broken_at_the_door(talk)
        broken_at_the_server(talk, decoders(talk), reasked(talk))
        assert talk.kept() == kept


def test_hundreds_of_seeded_breaks_are_refused_and_break_nothing(tmp_path: Path) -> None:
    check_door(tmp_path / "door", 250)
    check_server(tmp_path / "server", 500)


@pytest.mark.attack
@pytest.mark.timeout(900)
def test_a_hundred_thousand_breaks_are_refused_and_break_nothing(tmp_path: Path) -> None:
    check_door(tmp_path / "door", 20_000, seed=1)
    check_server(tmp_path / "server", 80_000, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_fuzzer_that_follows_the_code_finds_nothing_either() -> None:
    """Atheris, where it is installed: the server's decoders under libFuzzer, `tests/attacks/guided.py`."""
    pytest.importorskip("atheris", reason="pip install 'fedmotion[fuzz]' for the coverage-guided fuzzer")
    command = [sys.executable, "-m", "tests.attacks.guided", "-runs=100000", "-max_len=600", "-seed=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 100000 runs" in done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_million_breaks_are_refused_and_break_nothing(tmp_path: Path) -> None:
    check_door(tmp_path / "door", 200_000, seed=2)
    check_server(tmp_path / "server", 800_000, seed=2)
