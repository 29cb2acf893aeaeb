"""Builds that believe what they are told: defences of the envelopes taken out, see `tests.sabotage`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flwr.app import RecordDict

import client.accounts
import client.door
import client.ledger
import common.seal
from client.accounts import Accounts
from client.membership import Membership
from common.seal import Seal, read_seal
from common.secagg import messages
from tests.leaks import Patch

NOBODY: Final = Seal(sender="nobody", recipient="nobody", nonce="0" * 32, answers="", signature="0" * 128)


def believes_the_unsealed(patch: Patch) -> None:
    """Any message is the coordinator's."""

    def unseal(content: RecordDict, *_: object) -> Seal:
        return read_seal(content) if "seal" in content else NOBODY

    patch.setattr(client.door, "unseal", unseal)


def sees_no_transcript(patch: Patch) -> None:
    """What other sites saw is not looked at, nor what this one saw before."""
    patch.setattr(client.ledger, "require_one_view", lambda *_: None)


def forgets_what_it_saw(patch: Patch) -> None:
    """The ledger does not say which state a round was answered with."""
    real = Accounts._charge

    def charge(self: Accounts, entry: Any, facts: dict[str, Any]) -> None:
        real(self, entry, {**facts, "state": ""})

    patch.setitem(client.accounts._APPLY, "charged", charge)


def any_answer_will_do(patch: Patch) -> None:
    """An answer names no question: an old one serves for a new."""
    patch.setattr(Seal, "digest", lambda _: "0" * 64)


def any_key_will_do(patch: Patch) -> None:
    """Names and questions are compared, signatures are not."""
    patch.setattr(common.seal, "attested", lambda *_: True)


def agrees_to_anything(patch: Patch) -> None:
    patch.setattr(Membership, "agreed", lambda *_: True)


def signs_for_any_model(patch: Patch) -> None:
    """The list of survivors is signed whatever model each of them was shown."""
    real = messages._list
    patch.setattr(messages, "_list", lambda site, asked, _: real(site, asked, ""))


FORGERIES: Final[dict[str, Callable[[Patch], None]]] = {
    "believes_the_unsealed": believes_the_unsealed,
    "sees_no_transcript": sees_no_transcript,
    "forgets_what_it_saw": forgets_what_it_saw,
    "any_answer_will_do": any_answer_will_do,
    "any_key_will_do": any_key_will_do,
    "agrees_to_anything": agrees_to_anything,
    "signs_for_any_model": signs_for_any_model,
}
