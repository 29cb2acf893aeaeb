"""Who hears how far a long computation is; what is computed does not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Onlooker = Callable[[str, int, int], None]
"""What is being done, how many steps of it are done, and of how many."""

_onlooker: ContextVar[Onlooker | None] = ContextVar("onlooker", default=None)


@contextmanager
def looked_on(onlooker: Onlooker) -> Iterator[None]:
    """`onlooker` hears of every step of the body."""
    token = _onlooker.set(onlooker)
    try:
        yield
    finally:
        _onlooker.reset(token)


def steps(what: str, count: int) -> Iterator[int]:
    """0 to `count` - 1; the onlooker, if there is one, hears how many are done."""
    onlooker = _onlooker.get()
    for step in range(count):
        if onlooker is not None:
            onlooker(what, step, count)
        yield step
