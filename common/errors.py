"""Errors that reach a user or cross the wire: one line each, one exit code each."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from enum import StrEnum


class FedmotionError(Exception):
    """An error with a message for the user: one line that names the thing and the way out."""

    exit_code = 1


class InputError(FedmotionError):
    """Wrong usage or input (exit code 2)."""

    exit_code = 2


class RefusalCode(StrEnum):
    """All that a site ever says about why it did not answer.

    Each code is a function of public facts (the query, the accepted plan, the
    ledger's events); the reason in words stays in the site's own log.
    """

    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    OUTSIDE_PLAN = "OUTSIDE_PLAN"
    UNKNOWN_PLAN = "UNKNOWN_PLAN"
    STALE = "STALE"
    MALFORMED = "MALFORMED"
    POLICY = "POLICY"
    UNAVAILABLE = "UNAVAILABLE"
    ROLLED_BACK = "ROLLED_BACK"
    FOREIGN = "FOREIGN"
    EXPIRED = "EXPIRED"
    NOT_AGREED = "NOT_AGREED"
    SPLIT_VIEW = "SPLIT_VIEW"


class Refusal(FedmotionError):
    """Refused for privacy (exit code 3)."""

    exit_code = 3

    def __init__(self, code: RefusalCode, reason: str = "") -> None:
        super().__init__(reason or code.value)
        self.code = code


def way_out(name: str, known: Collection[str]) -> str:
    """What to say after a name that is not among `known`."""
    if near := get_close_matches(name, known, n=1):
        return f"did you mean {near[0]}?"
    return f"choose from {', '.join(known)}"
