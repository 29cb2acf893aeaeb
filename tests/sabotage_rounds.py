"""Builds of the coordinator with one defence taken out: see `tests.sabotage`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

import server.exchange
import server.rounds
from common.seal import Seal, read_seal, unseal
from server.transcript import Transcript

Patch = pytest.MonkeyPatch


def anybodys_word(patch: Patch) -> None:
    """Answers are read whoever sealed them, if anybody."""
    patch.setattr(server.exchange, "_require_sealed", lambda *_: None)


def any_question(patch: Patch) -> None:
    """A site's seal is enough, whichever question it answers."""

    def loose(content: Any, public: str, sender: str, recipient: str, _: str) -> Seal:
        return unseal(content, public, sender, recipient, read_seal(content).answers)

    patch.setattr(server.exchange, "unseal", loose)


def few_are_enough(patch: Patch) -> None:
    """A round of any number of sites."""
    patch.setattr(server.rounds, "_require_enough", lambda *_: None)


def state_not_compared(patch: Patch) -> None:
    """Releases are added whatever model they are of."""
    patch.setattr(Transcript, "require_seen", lambda *_: None)


ROUNDS: Final[dict[str, Callable[[Patch], None]]] = {
    "anybodys_word": anybodys_word,
    "any_question": any_question,
    "few_are_enough": few_are_enough,
    "state_not_compared": state_not_compared,
}
