"""What the sites said, in their signatures, of the model state of each round: `transcript.jsonl`.

The server shows the words of one round with the questions of the next, so that sites to
which it showed different models find out.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from common.errors import InputError, Refusal, RefusalCode
from common.plan import Plan
from common.query import Query, Release, Seen
from server.journal import append_row, forget_rows_after

TRANSCRIPT: Final = "transcript.jsonl"


class Transcript:
    """The words of the last round that is in the checkpoint, and the file that holds all of them."""

    def __init__(self, folder: Path, plan: Plan, done: int) -> None:
        self._path = folder / TRANSCRIPT
        self._plan = plan
        forget_rows_after(self._path, done)
        self.last: tuple[Seen, ...] = self._read() if done and plan.roster else ()

    def _read(self) -> tuple[Seen, ...]:
        try:
            row = json.loads(self._path.read_text(encoding="utf-8").splitlines()[-1])
            return tuple(Seen(**told) for told in row["seen"])
        except (OSError, ValueError, LookupError, TypeError, InputError):
            raise InputError(f"{self._path} is damaged: restore the run folder") from None

    def require_seen(self, release: Release, query: Query) -> None:
        """Refusal unless the site says, in its roster key's signature, that it saw the state of `query`."""
        member, seen = self._plan.member(release.site), release.seen
        if member is None:
            return
        if seen is None or seen.site != release.site or not seen.signed_by(member.key, query):
            raise Refusal(RefusalCode.MALFORMED, f"{release.site} does not say which state it saw")
        if seen.state_digest != query.state_digest:
            raise Refusal(RefusalCode.SPLIT_VIEW, f"{release.site} saw another state than it was sent")

    def close_round(self, round: int, seen: tuple[Seen, ...]) -> None:
        """Keep what was said of `round`, on disk when this returns."""
        self.last = tuple(sorted(seen, key=lambda told: told.site))
        if self._plan.roster:
            append_row(self._path, {"round": round, "seen": [asdict(told) for told in self.last]})
