"""Events are the table's and nothing else; words stay in a file of their owner's."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import InputError, RefusalCode
from common.logs import EVENTS, FACTS, FORMAT, Tally, attach, event, events, words

SECRET = "ann_walks_home"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger of the project as it was before and is after: without handlers."""
    log = logging.getLogger("fedmotion")
    before = log.handlers, log.propagate, log.level
    log.handlers = []
    yield logging.getLogger("fedmotion.test")
    log.handlers, log.propagate, level = before
    log.setLevel(level)


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_event_tells_its_facts_and_not_its_words(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv(FORMAT, form)
    said = io.StringIO()
    attach(events(said))
    log.warning("refused: %s", SECRET, extra=event("refused", kind="Query", code=RefusalCode.POLICY))
    (line,) = said.getvalue().splitlines()
    assert SECRET not in line
    if form == "text":
        assert line.endswith("WARNING fedmotion.test refused kind=Query code=POLICY")
        return
    told = json.loads(line)
    assert told.pop("time").endswith("Z") and "." not in line.split('"time"')[1].split(",")[0]
    assert told == {
        "level": "warning", "logger": "fedmotion.test", "event": "refused", "kind": "Query", "code": "POLICY"
    }  # fmt: skip


def test_what_is_no_event_leaves_no_line(log: logging.Logger) -> None:
    """Neither words nor tracebacks nor unknown events: not even how many there were."""
    said = io.StringIO()
    attach(events(said))
    log.error("could not read %s", SECRET)
    log.error("person", extra=event(SECRET))
    try:
        raise KeyError(SECRET)
    except KeyError:
        log.exception("the gate failed")
    assert said.getvalue() == ""


def test_a_fact_of_another_form_is_left_out(log: logging.Logger) -> None:
    """A log never breaks a gate, and a value of a hostile message is no fact."""
    said = io.StringIO()
    attach(events(said))
    wrong = (SECRET + " x", 7.25, None, True, b"x", "../../etc", "a\nb", object(), [1])
    for name, facts in EVENTS.items():
        for value in wrong:
            log.info("x", extra=event(name, **dict.fromkeys(facts, value), person=SECRET))
    assert len(said.getvalue().splitlines()) == len(EVENTS) * len(wrong)
    assert not [line for line in said.getvalue().splitlines() if "=" in line]


def test_every_event_is_made_of_known_facts_and_none_is_a_time_or_a_count_of_people() -> None:
    told = {fact for facts in EVENTS.values() for fact in facts}
    assert told == set(FACTS)
    assert not told & {"people", "users", "drawn", "count", "seconds", "duration", "loss", "norm", "file"}
    of_the_gate = {*EVENTS["answered"], *EVENTS["refused"]}
    assert of_the_gate == {"kind", "code"}, "closed lists alone: what a gate says has no free text"


def test_words_are_their_owners_alone_and_hold_the_traceback(log: logging.Logger, tmp_path: Path) -> None:
    attach(words(tmp_path / "site.log"))
    try:
        raise KeyError(SECRET)
    except KeyError:
        log.exception("the gate failed", extra=event("refused", code=RefusalCode.UNAVAILABLE))
    (handler,) = logging.getLogger("fedmotion").handlers
    handler.close()
    assert stat.S_IMODE((tmp_path / "site.log").stat().st_mode) == 0o600
    assert SECRET in (tmp_path / "site.log").read_text()


def test_a_file_of_words_is_not_written_through_a_link(log: logging.Logger, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "site.log").symlink_to(tmp_path / "other")
    handler = words(tmp_path / "site.log")
    with pytest.raises(OSError, match="symbolic"):
        handler.acquire()
        handler.stream = handler._open()  # type: ignore[attr-defined]
    handler.release()


def test_the_tally_counts_events_by_kind_and_code(log: logging.Logger) -> None:
    tally = Tally()
    attach(tally)
    for _ in range(3):
        log.info("x", extra=event("answered", kind="Query"))
    log.info("x", extra=event("refused", kind="Query", code=RefusalCode.STALE))
    log.info("words of %s", SECRET)
    found = tally.facts()
    assert found.pop("last_answer") is not None
    assert found == {"answered": {"Query": 3}, "refused": {"STALE": 1}}


def test_another_form_is_refused_with_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT, "xml")
    with pytest.raises(InputError, match="FEDMOTION_LOG = 'xml': choose text or json"):
        events(io.StringIO())


def test_every_event_that_is_declared_is_said_somewhere() -> None:
    root = Path(__file__).resolve().parents[2]
    code = "".join(
        path.read_text() for folder in ("client", "server") for path in (root / folder).rglob("*.py")
    )
    assert [name for name in EVENTS if f'event("{name}"' not in code] == []
