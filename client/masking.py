"""A site's part in secure aggregation: which attempt at which plan's round it is in, in memory alone.

A restart forgets every attempt, and with it whatever could take a mask off: what was charged stays
charged, and a further attempt is a new charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch import Tensor

from client.attempt import Attempt, Masks, require_unexpired
from common.errors import Refusal, RefusalCode
from common.plan import Plan
from common.query import Query
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
from common.signing import public_name


class Masking:
    """`site` with its `identity`, the key that the plans' rosters name; without one it takes no part."""

    def __init__(self, site: str, identity: Ed25519PrivateKey | None) -> None:
        self._site: Final = site
        self._identity: Final = identity
        self._attempts: dict[str, Attempt] = {}

    def require_able(self, plan: Plan) -> Ed25519PrivateKey:
        """The site's identity; Refusal unless `plan` aggregates securely and its roster names this key."""
        member = plan.member(self._site)
        if plan.trust != "secagg":
            raise Refusal(RefusalCode.OUTSIDE_PLAN, f"the plan's trust model is {plan.trust}")
        if self._identity is None or member is None or member.key != public_name(self._identity):
            raise Refusal(RefusalCode.FOREIGN, "the plan's roster lacks this site or its key")
        require_unexpired(member)
        return self._identity

    def advertise(self, plan: Plan, asked: Advertise) -> Keys:
        """New keys for an attempt, in place of those of any earlier one; the same again while it lasts."""
        identity = self.require_able(plan)
        if asked.run_id != plan.run_id or not 1 <= asked.round <= plan.rounds:
            raise Refusal(RefusalCode.OUTSIDE_PLAN, f"round {asked.round} is outside the plan")
        held = self._attempts.get(asked.plan_digest)
        if held is not None and asked.round < held.asked.round:
            raise Refusal(RefusalCode.STALE, f"round {asked.round} is over")
        if held is None or held.asked != asked:
            held = self._attempts[asked.plan_digest] = Attempt(plan, self._site, identity, asked)
        return held.keys

    def share(self, plan: Plan, cohort: Cohort) -> Shared:
        """See `Attempt.share`."""
        return self._held(plan, cohort.plan_digest, cohort.run_id, cohort.round).share(cohort)

    def masks(self, plan: Plan, query: Query, shares: Sequence[Shares]) -> Masks:
        """See `Attempt.masks`."""
        held = self._held(plan, query.plan_digest, query.run_id, query.round)
        return held.masks(query.cohort, shares, query.state_digest)

    def masked(self, plan_digest: str, total: Tensor, masks: Masks | None) -> Tensor:
        """`total` under `masks`, which are used up by it; Refusal(UNAVAILABLE) where there are none."""
        if masks is None:
            raise Refusal(RefusalCode.UNAVAILABLE, "the masks of this attempt are gone")
        self._attempts[plan_digest].use(masks)
        return masks.onto(total)

    def confirm(self, plan: Plan, asked: Confirm) -> Confirmed:
        """See `Attempt.confirm`."""
        return self._held(plan, asked.plan_digest, asked.run_id, asked.round).confirm(asked)

    def unmask(self, plan: Plan, asked: Unmask) -> Unmasked:
        """See `Attempt.unmask`."""
        return self._held(plan, asked.plan_digest, asked.run_id, asked.round).unmask(asked)

    def _held(self, plan: Plan, digest: str, run_id: str, round: int) -> Attempt:
        self.require_able(plan)
        held = self._attempts.get(digest)
        if held is None or (held.asked.run_id, held.asked.round) != (run_id, round):
            raise Refusal(RefusalCode.STALE, f"this site is in no attempt at round {round}, or not any more")
        return held
