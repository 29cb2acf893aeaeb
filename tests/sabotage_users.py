"""Builds whose two processes at a site are not apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import client.privilege
from common.process import OsUser
from tests.leaks import Patch


def no_drop(patch: Patch) -> None:
    """A site that was started as root goes on as root."""
    patch.setattr(OsUser, "become", lambda _: None)


def rights_not_asked(patch: Patch) -> None:
    """A site starts whoever can read its data."""
    patch.setattr(client.privilege, "_require", lambda *_, **__: None)


USERS: Final[dict[str, Callable[[Patch], None]]] = {
    "no_drop": no_drop,
    "rights_not_asked": rights_not_asked,
}
