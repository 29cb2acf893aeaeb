"""Builds that believe too easily: in cards nobody compared, plans nobody agreed to, senders nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

import client.door
import client.joining
import server.admission
from client.membership import Membership
from client.site import SiteFile
from common.seal import read_seal

Patch = pytest.MonkeyPatch


def agreement_not_asked(patch: Patch) -> None:
    """Whatever the coordinator proposes runs."""
    patch.setattr(Membership, "require_agreed", lambda *_: None)


def agreement_asked_once(patch: Patch) -> None:
    """A plan is looked at when it is accepted, and never again."""
    patch.setattr(client.door.Door, "_require_agreed", lambda *_: None)


def plan_of_another_site(patch: Patch) -> None:
    """A plan may name other code, another population or another key than the site has."""
    patch.setattr(Membership, "require_fit", lambda *_: None)


def cards_not_compared(patch: Patch) -> None:
    """Whoever's card comes by mail is taken at its word."""
    for module in (client.joining, server.admission):
        patch.setattr(module, "read_out", lambda *_: None)


def any_sender(patch: Patch) -> None:
    """A seal is looked at, and not whose it is."""
    patch.setattr(client.door, "unseal", lambda content, *_: read_seal(content))


def seed_not_asked(patch: Patch) -> None:
    """A site in test mode keeps its rules, and says nothing of its seed."""
    real = SiteFile.rules
    patch.setattr(SiteFile, "rules", lambda self: replace(real(self), seeded=False))


def answers_at_once(patch: Patch) -> None:
    """An answer leaves when it is made."""
    patch.setattr(client.door.Door, "_keep_pace", lambda *_: None)


def revocation_forgotten(patch: Patch) -> None:
    patch.setattr(server.admission, "revoked", lambda folder: frozenset())


STRANGERS: Final[dict[str, Callable[[Patch], None]]] = {
    "agreement_not_asked": agreement_not_asked,
    "agreement_asked_once": agreement_asked_once,
    "plan_of_another_site": plan_of_another_site,
    "cards_not_compared": cards_not_compared,
    "any_sender": any_sender,
    "revocation_forgotten": revocation_forgotten,
    "seed_not_asked": seed_not_asked,
    "answers_at_once": answers_at_once,
}
