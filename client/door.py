"""What every message to a site passes: seal, gate, code, seal. An answer is a release or a fixed code."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from flwr.app import RecordDict

from client.membership import Membership
from common.errors import Refusal, RefusalCode
from common.logs import event
from common.method import PublicState
from common.parcel import encode_refusal, kind_of
from common.plan import Plan
from common.query import Acceptance, Query, Release, Seen
from common.seal import COORDINATOR, Seal, seal, unseal
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
_MOST_LOGGED: Final = 1000

Asked = TypeVar("Asked", Advertise, Cohort, Confirm, Unmask)


class Gate(Protocol):
    """What stands behind the door: `client.gate.LocalGate`."""

    def accept(self, plan: Plan, arrays: Mapping[str, Tensor]) -> Acceptance:
        """Reserve the whole plan, or raise Refusal."""

    def plan(self, digest: str) -> Plan:
        """An accepted plan, or Refusal(UNKNOWN_PLAN)."""

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
    """One site's gate as messages reach it; with a `membership` it answers its coordinator alone.

    With a `pace` above 0 the answer to a Query leaves a whole multiple of so many seconds after it came:
    how long computing took tells how many people were drawn.
    """

    def __init__(self, gate: Gate, membership: Membership | None = None, pace: float = 0.0) -> None:
        self._gate = gate
        self._membership = membership
        self._pace = pace
        self._handlers: Final[dict[str, Callable[[RecordDict], RecordDict]]] = {
            "Plan": self._accept,
            "Query": self._release_in_time,
            "Advertise": self._step(Advertise, lambda asked: gate.advertise(asked)),
            "Cohort": self._step(Cohort, lambda asked: gate.share(asked)),
            "Confirm": self._step(Confirm, lambda asked: gate.confirm(asked)),
            "Unmask": self._step(Unmask, lambda asked: gate.unmask(asked)),
        }

    def answer(self, content: RecordDict) -> RecordDict:
        """The answer to one message: an acceptance, a release or a fixed code; words go to the site's log.

        What is not under the coordinator's seal gets a bare code: the site signs nothing for strangers.
        """
        asked: Seal | None = None
        kind = ""
        try:
            if self._membership is not None:
                public = self._membership.coordinator.key
                asked = unseal(content, public, COORDINATOR, self._membership.site)
                self._membership.require_valid()
            kind = kind_of(content)
            handler = self._handlers.get(kind)
            if handler is None:
                raise Refusal(RefusalCode.MALFORMED, f"no such message: {kind!r}")
            content = handler(content)
            _log.info("answered %s", kind, extra=event("answered", kind=kind))
        except Refusal as refusal:
            told = event("refused", kind=kind, code=refusal.code)
            _log.warning("refused: %s (%s)", refusal.code, _one_line(refusal), extra=told)
            content = encode_refusal(refusal.code)
        except Exception:
            told = event("refused", kind=kind, code=RefusalCode.UNAVAILABLE)
            _log.warning("the gate failed", exc_info=True, extra=told)
            content = encode_refusal(RefusalCode.UNAVAILABLE)
        if self._membership is None or asked is None:
            return content
        site, key = self._membership.site, self._membership.key
        return seal(content, key, site, COORDINATOR, asked.digest())[0]

    def rest(self) -> None:
        """Leave the ledger to other processes until the next message."""
        self._gate.rest()

    def close(self) -> None:
        self._gate.close()

    def _accept(self, content: RecordDict) -> RecordDict:
        plan, arrays = decode_plan(content)
        if self._membership is not None:
            self._membership.require_agreed(plan)
        elif plan.roster:
            raise Refusal(
                RefusalCode.FOREIGN, "the plan is for a federation, and this site's file has no [federation]"
            )
        return encode_acceptance(self._gate.accept(plan, arrays))

    def _release_in_time(self, content: RecordDict) -> RecordDict:
        """A release or a refusal at the site's pace, before anything says that it was made."""
        begun = time.monotonic()
        try:
            return self._release(content)
        finally:
            self._keep_pace(time.monotonic() - begun)

    def _keep_pace(self, passed: float) -> None:
        if self._pace > 0:
            time.sleep(self._pace * math.ceil(passed / self._pace) - passed)

    def _release(self, content: RecordDict) -> RecordDict:
        query, state = decode_query(content)
        self._require_agreed(query.plan_digest)
        release = self._gate.release(query, state, decode_shares(content))
        if self._membership is not None:
            seen = Seen.sign(self._membership.key, self._membership.site, query)
            release = replace(release, seen=seen)
        return encode_release(release)

    def _step(self, kind: type[Asked], step: Callable[[Asked], Any]) -> Callable[[RecordDict], RecordDict]:
        """What answers a message of secure aggregation."""

        def handler(content: RecordDict) -> RecordDict:
            asked = decode(content, kind)
            self._require_agreed(asked.plan_digest)
            return encode(step(asked))

        return handler

    def _require_agreed(self, plan_digest: str) -> None:
        """Refusal unless this site may still speak under an accepted plan: an agreement can end."""
        if self._membership is not None:
            self._membership.require_agreed(self._gate.plan(plan_digest))


def _one_line(refusal: Refusal) -> str:
    """Its words for the log: others' words may be among them, and must not look like lines of their own."""
    return str(refusal).encode("unicode_escape").decode("ascii")[:_MOST_LOGGED]
