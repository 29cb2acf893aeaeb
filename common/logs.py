"""What a process says of its work: words for the steward, and events that say nothing of people.

Two readers, two files. Words (a site's `site.log`, mode 0600) may tell of people, since an error names a
file or a value: they stay with whoever may read the data. Events are the table below and nothing else.
A record that is no event leaves no line among them, so that neither its text nor how many there are shows;
a fact that is not of the table's form is left out. No event tells how long something took, and times are
whole seconds: the moment at which an answer left is what its receiver sees anyway.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TextIO, cast

from common.errors import InputError, RefusalCode
from common.query import is_name

FORMAT: Final = "FEDMOTION_LOG"
"""The environment variable that chooses how events are written: `text` (default) or `json`."""

KINDS: Final = ("Plan", "Query", "Advertise", "Cohort", "Confirm", "Unmask")
SITE: Final = "site.log"
_MOST_BYTES: Final = 10 * 2**20
_KEPT: Final = 5
_FACT: Final = "fedmotion_event"

Check = Callable[[Any], bool]


FACTS: Final[Mapping[str, Check]] = {
    "code": lambda value: value in tuple(RefusalCode),
    "kind": lambda value: value in KINDS,
    "process": lambda value: value == "gate",
    "version": lambda value: isinstance(value, str) and is_name(value),
}
"""What an event may tell."""

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "process_started": ("process", "version"),
    "stopped": ("process",),
    "answered": ("kind",),
    "refused": ("kind", "code"),
}
"""Every event with the facts that it may carry; all are a gate's."""


def event(name: str, **facts: Any) -> dict[str, Any]:
    """The `extra` of a log call that makes it an event: `log.warning("in words", extra=event("refused"))`."""
    return {_FACT: (name, facts)}


def event_of(record: logging.LogRecord) -> dict[str, Any] | None:
    """The event that `record` carries, with those of its facts that are of the table's form; None if none."""
    name, facts = cast(tuple[str, dict[str, Any]], getattr(record, _FACT, ("", {})))
    if name not in EVENTS:
        return None
    told = {key: facts[key] for key in EVENTS[name] if key in facts and FACTS[key](facts[key])}
    return {"event": name, **told}


class Events(logging.Formatter):
    """One line an event: time (UTC), level, logger, event and its facts, as JSON or for people."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        told = event_of(record) or {}
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(record.created)))
        fields = {"time": when, "level": record.levelname.lower(), "logger": record.name, **told}
        if self._as_json:
            return json.dumps(fields)
        facts = " ".join(f"{key}={value}" for key, value in told.items() if key != "event")
        return f"{when} {record.levelname:<7} {record.name} {told.get('event', '')} {facts}".rstrip()


class Tally(logging.Handler):
    """How often each event came since the process began, by its kind or code; for the status and metrics."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, int] = {}
        self._one_at_a_time = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        told = event_of(record)
        if told is None:
            return
        name = told["event"]
        with self._one_at_a_time:
            self._counts[name, str(told.get("code", told.get("kind", "")))] += 1
            self._last[name] = int(record.created)

    def counts(self, name: str) -> dict[str, int]:
        """Of the event `name`: how often by code, or else by kind; an empty text where it tells neither."""
        with self._one_at_a_time:
            return {label: count for (found, label), count in sorted(self._counts.items()) if found == name}

    def facts(self) -> dict[str, Any]:
        """What a gate answered and refused since it began, and when it answered last (seconds since 1970)."""
        with self._one_at_a_time:
            last = self._last.get("answered")
        return {"answered": self.counts("answered"), "refused": self.counts("refused"), "last_answer": last}


class _Private(RotatingFileHandler):
    """A file that its owner alone may read (mode 0600), kept small: five older ones of 10 MiB beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_MOST_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True)

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW, 0o600)

        return open(self.baseFilename, "a", encoding="utf-8", opener=private)


def words(path: Path) -> logging.Handler:
    """Every record in words, tracebacks included: for the steward's eyes alone."""
    handler = _Private(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    return handler


def events(to: Path | TextIO) -> logging.Handler:
    """Events alone, in the form that `FEDMOTION_LOG` asks for; InputError where it asks for another."""
    form = os.environ.get(FORMAT, "text")
    if form not in ("text", "json"):
        raise InputError(f"{FORMAT} = {form!r}: choose text or json")
    handler = _Private(to) if isinstance(to, Path) else logging.StreamHandler(to)
    handler.addFilter(lambda record: event_of(record) is not None)
    handler.setFormatter(Events(form == "json"))
    return handler


def separate(folder: Path) -> Tally:
    """From now on words go to `folder`/site.log and events alone to what was standard output.

    Whatever libraries print, and a traceback of this process's own end, are words too.
    """
    said = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    spoken = words(folder / SITE)
    descriptor = os.open(folder / SITE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    tally = Tally()
    attach(spoken, events(said), tally)
    return tally


def attach(*handlers: logging.Handler) -> None:
    """Let `handlers` hear all that this process says, and nobody else."""
    log = logging.getLogger("fedmotion")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers = list(handlers)
