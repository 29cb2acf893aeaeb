"""How long a round takes, from the rounds that were seen to end."""

from __future__ import annotations


class Pace:
    """Seconds a round, measured from the second round on: the first also lets sites in and reads people."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def after(self, done: int, now: float) -> float | None:
        """The mean so far, when `done` rounds are done at `now`; None until two were seen to end."""
        if self._before is None:
            self._before = done
        if done > self._before and self._first is None:
            self._first = done, now
        if self._first is not None and done > (self._last or self._first)[0]:
            self._last = done, now
        if self._first is None or self._last is None:
            return None
        (first, since), (last, until) = self._first, self._last
        return (until - since) / (last - first)
