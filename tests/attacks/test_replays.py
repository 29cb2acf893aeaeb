"""T13: whoever sits between server and site, or at another site, has heard everything and says it again.

What was ever said in two runs is put to the door and to the server in other places, orders and pieces:
refused and logged, but for the newest question, which gets the stored bytes and costs nothing.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from flwr.app import RecordDict

from common.errors import Refusal
from common.parcel import arrays_of, raise_refused
from common.plan import Plan
from common.query import Query, Seen
from common.seal import COORDINATOR, Seal, seal
from common.wire import decode_release, encode_plan, encode_query
from tests.federation import Federation, agree, key_of, roster_of, state_of

NAMES = ("east", "north", "west")
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Said:
    """One question and its answer, as they crossed the network."""

    site: str
    query: Query
    plan: Plan
    question: RecordDict
    asked: Seal
    answer: RecordDict

    @property
    def total(self) -> bytes:
        return bytes(arrays_of(self.answer)["total"])


class Heard:
    """Two runs of a few rounds at real doors, with all that was said in them."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        other = replace(federation.plan, run_id="second", clip_norm=1.0)
        self.said: list[Said] = []
        for plan in (federation.plan, other):
            federation.plan = plan
            for site in federation.sites.values():
                agree(site.membership, plan)
            federation.enrol()
            seen: list[Seen] = []
            for round in range(1, ROUNDS + 1):
                seen = [self._hear(name, plan, round, seen) for name in NAMES]
        self.latest = [said for said in self.said if said.query.round == ROUNDS]
        self.older = [said for said in self.said if said.query.round < ROUNDS]

    def _hear(self, name: str, plan: Plan, round: int, seen: list[Seen]) -> Seen:
        state = state_of(plan, round)
        query = self.federation.query(state, seen)
        question, asked = self.federation.sealed(name, encode_query(query, state))
        answer = self.federation.sites[name].door.answer(question)
        self.said.append(Said(name, query, plan, question, asked, answer))
        release = decode_release(self.federation.opened(name, answer, asked), query, plan)
        assert release.seen is not None
        return release.seen

    def spent(self) -> list[object]:
        return [site.ledger.events() for site in self.federation.sites.values()]


Replay = tuple[str, RecordDict, str]
"""To which site, what, and what it must answer: a code, or Release."""


def mixed(into: RecordDict, of: RecordDict, *records: str) -> RecordDict:
    """`into` with some records of another message."""
    return RecordDict({**into, **{name: of[name] for name in records}})


def latest(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.latest)
    return said.site, said.question, "Release"


def older(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.older)
    return said.site, said.question, "STALE"


def sealed_again(heard: Heard, draw: random.Random) -> Replay:
    """The server itself asks an older round once more."""
    said = draw.choice(heard.older)
    plain = RecordDict({name: said.question[name] for name in ("header", "arrays")})
    return said.site, heard.federation.sealed(said.site, plain)[0], "STALE"


def to_another_site(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.said)
    return draw.choice([name for name in NAMES if name != said.site]), said.question, "FOREIGN"


def reflected(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.said)
    return draw.choice(NAMES), said.answer, "FOREIGN"


def swapped_body(heard: Heard, draw: random.Random) -> Replay:
    """The header of one question under the seal of another, of this run or the other."""
    said, of = draw.sample([said for said in heard.said if said.site == "north"], 2)
    return "north", mixed(said.question, of.question, "header", "arrays"), "FOREIGN"


def swapped_arrays(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.latest)
    of = draw.choice([other for other in heard.said if other.query.state_digest != said.query.state_digest])
    return said.site, mixed(said.question, of.question, "arrays"), "MALFORMED"


def swapped_seal(heard: Heard, draw: random.Random) -> Replay:
    said, of = draw.sample(heard.said, 2)
    return said.site, mixed(said.question, of.question, "seal"), "FOREIGN"


def without_seal(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.said)
    return said.site, RecordDict({n: said.question[n] for n in ("header", "arrays")}), "FOREIGN"


def another_roster(heard: Heard, draw: random.Random) -> Replay:
    """The same run put with other sites in it: known by name, agreed by nobody."""
    said = draw.choice(heard.said)
    plan = replace(said.plan, roster=roster_of("north", "south", said.site), min_sites=1)
    return said.site, heard.federation.sealed(said.site, encode_plan(plan, {}))[0], "NOT_AGREED"


def under_another_roster(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.latest)
    plan = replace(said.plan, roster=roster_of("south", said.site), min_sites=1)
    state = state_of(said.plan, ROUNDS)
    query = replace(said.query, plan_digest=plan.digest())
    return said.site, heard.federation.sealed(said.site, encode_query(query, state))[0], "UNKNOWN_PLAN"


def under_the_other_run(heard: Heard, draw: random.Random) -> Replay:
    said = draw.choice(heard.latest)
    query = replace(said.query, run_id="run" if said.query.run_id == "second" else "second")
    content = encode_query(query, state_of(said.plan, ROUNDS))
    return said.site, heard.federation.sealed(said.site, content)[0], "OUTSIDE_PLAN"


KINDS: list[Callable[[Heard, random.Random], Replay]] = [
    latest, older, sealed_again, to_another_site, reflected, swapped_body, swapped_arrays, swapped_seal,
    without_seal, another_roster, under_another_roster, under_the_other_run,
]  # fmt: skip


class Noting(logging.Handler):
    """What the sites' logs say."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def outcome(answer: RecordDict) -> str:
    try:
        raise_refused(answer)
    except Refusal as refusal:
        return refusal.code.value
    return str(answer.config_records["header"]["kind"])


def check_replays(folder: Path, count: int = 120, seed: int = 0) -> None:
    """Every replay gets its code and a line in the log; the newest alone its bytes, and no one pays."""
    draw, log, tried = random.Random(seed), Noting(), Counter[str]()
    with Federation(folder, *NAMES) as federation:
        heard = Heard(federation)
        stored, spent = {said.asked.digest(): said.total for said in heard.latest}, heard.spent()
        logger = logging.getLogger("fedmotion.client")
        logger.addHandler(log)
        try:
            for number in range(count):
                kind = KINDS[number % len(KINDS)] if number < 2 * len(KINDS) else draw.choice(KINDS)
                site, content, expected = kind(heard, draw)
                log.lines.clear()
                answer = federation.sites[site].door.answer(content)
                assert outcome(answer) == expected, kind.__name__
                assert ("seal" in answer) == (expected != "FOREIGN"), kind.__name__
                assert len(log.lines) == (expected != "Release"), kind.__name__
                if expected == "Release":
                    assert bytes(arrays_of(answer)["total"]) in stored.values()
                tried[kind.__name__] += 1
        finally:
            logger.removeHandler(log)
        assert heard.spent() == spent
    assert len(tried) == len(KINDS)


def believed(federation: Federation, said: Said, answer: RecordDict) -> bool:
    """Whether the server takes `answer` for what it asked in `said`."""
    try:
        federation.plan = said.plan
        release = decode_release(federation.opened(said.site, answer, said.asked), said.query, said.plan)
    except Refusal:
        return False
    return release.site == said.site


def forgeries(heard: Heard, said: Said, of: Said) -> list[RecordDict]:
    """What network and other sites can put in place of the answer in `said`, with another, `of`, at hand."""
    plain, own = (
        RecordDict({name: each.answer[name] for name in ("header", "arrays")}) for each in (of, said)
    )
    thief, answers = key_of("thief"), said.asked.digest()
    return [
        of.answer,
        said.question,
        plain,
        own,
        mixed(said.answer, of.answer, "arrays"),
        mixed(said.answer, of.answer, "header", "arrays"),
        mixed(said.answer, of.answer, "seal"),
        seal(plain, thief, said.site, COORDINATOR, answers)[0],
        seal(own, thief, said.site, COORDINATOR, answers)[0],
        seal(own, key_of(of.site), of.site, COORDINATOR, answers)[0],
        seal(own, key_of(of.site), said.site, COORDINATOR, answers)[0],
    ]


def check_answers(folder: Path, count: int = 60, seed: int = 0) -> None:
    """The server believes an answer in the place of its question alone, and its own site's alone."""
    draw = random.Random(seed)
    with Federation(folder, *NAMES) as federation:
        heard = Heard(federation)
        for _ in range(count):
            said, of = draw.sample(heard.said, 2)
            forged = forgeries(heard, said, of)
            if said.site == of.site:  # which may sign what it likes
                forged = forged[:-2]
            assert believed(federation, said, said.answer)
            assert not [n for n, answer in enumerate(forged) if believed(federation, said, answer)]
        again = heard.latest[0]
        answer = federation.sites[again.site].door.answer(again.question)
        assert believed(federation, again, answer)
        _, later = federation.sealed(again.site, again.question)
        assert not believed(federation, replace(again, asked=later), answer), "an answer to another question"


def test_replays_at_a_site_are_refused_and_logged(tmp_path: Path) -> None:
    check_replays(tmp_path, 150)


def test_replays_at_the_server_are_refused(tmp_path: Path) -> None:
    check_answers(tmp_path)


@pytest.mark.attack
@pytest.mark.timeout(900)
def test_ten_thousand_replays_at_a_site_are_refused_and_logged(tmp_path: Path) -> None:
    check_replays(tmp_path, 10_000, seed=1)


@pytest.mark.attack
def test_thousands_of_replays_at_the_server_are_refused(tmp_path: Path) -> None:
    check_answers(tmp_path, 1500, seed=1)
