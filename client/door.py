"""What every message to a site passes: seal, gate, code, seal. An answer is a release or a fixed code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from flwr.app import RecordDict

from client.membership import Membership
from common.errors import Refusal, RefusalCode
from common.method import PublicState
from common.parcel import encode_refusal, kind_of
from common.plan import Plan
from common.query import Acceptance, Query, Release
from common.seal import COORDINATOR, seal, unseal
from common.secagg.messages import (
    Advertise,
    Cohort,
    Confirm,
    Confirmed,
    Keys,
    Shared,
    Shares,
    Unmask,
    Unmasked,
)
from common.secagg.wire import decode, encode
from common.wire import decode_plan, decode_query, decode_shares, encode_acceptance, encode_release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

_log = logging.getLogger("fedmotion.client")


class Gate(Protocol):
    """What stands behind the door: `client.gate.LocalGate`."""

    def accept(self, plan: Plan, arrays: Mapping[str, Tensor]) -> Acceptance:
        """Reserve the whole plan, or raise Refusal."""

    def release(self, query: Query, state: PublicState, shares: Sequence[Shares] = ()) -> Release:
        """Answer one round of an accepted plan, or raise Refusal."""

    def advertise(self, asked: Advertise) -> Keys:
        """Begin an attempt at a securely aggregated round, or raise Refusal; so do the next three."""

    def share(self, cohort: Cohort) -> Shared:
        """Deal shares to a cohort."""

    def confirm(self, asked: Confirm) -> Confirmed:
        """Sign who survived."""

    def unmask(self, asked: Unmask) -> Unmasked:
        """Give one share of each site's."""

    def rest(self) -> None:
        """Leave the ledger to other processes until the next message."""

    def close(self) -> None:
        """Let go of the ledger for good."""


class Door:
    """One site's gate as messages reach it; with a `membership` it answers its coordinator alone."""

    def __init__(self, gate: Gate, membership: Membership | None = None) -> None:
        self._gate = gate
        self._membership = membership
        self._handlers: Final[dict[str, Callable[[RecordDict], RecordDict]]] = {
            "Plan": self._accept,
            "Query": self._release,
            "Advertise": lambda content: encode(gate.advertise(decode(content, Advertise))),
            "Cohort": lambda content: encode(gate.share(decode(content, Cohort))),
            "Confirm": lambda content: encode(gate.confirm(decode(content, Confirm))),
            "Unmask": lambda content: encode(gate.unmask(decode(content, Unmask))),
        }

    def answer(self, content: RecordDict) -> RecordDict:
        """The answer to one message: an acceptance, a release or a fixed code; words go to the site's log."""
        answers = ""
        try:
            if self._membership is not None:
                self._membership.require_valid()
                public = self._membership.coordinator.key
                answers = unseal(content, public, COORDINATOR, self._membership.site).digest()
            handler = self._handlers.get(kind_of(content))
            if handler is None:
                raise Refusal(RefusalCode.MALFORMED, f"no such message: {kind_of(content)!r}")
            content = handler(content)
        except Refusal as refusal:
            _log.warning("refused: %s (%s)", refusal.code, refusal)
            content = encode_refusal(refusal.code)
        except Exception:
            _log.exception("the gate failed")
            content = encode_refusal(RefusalCode.UNAVAILABLE)
        if self._membership is not None:
            content, _ = seal(content, self._membership.key, self._membership.site, COORDINATOR, answers)
        return content

    def rest(self) -> None:
        """Leave the ledger to other processes until the next message."""
        self._gate.rest()

    def close(self) -> None:
        self._gate.close()

    def _accept(self, content: RecordDict) -> RecordDict:
        plan, arrays = decode_plan(content)
        if self._membership is not None:
            self._membership.require_agreed(plan)
        return encode_acceptance(self._gate.accept(plan, arrays))

    def _release(self, content: RecordDict) -> RecordDict:
        query, state = decode_query(content)
        return encode_release(self._gate.release(query, state, decode_shares(content)))
