"""One round's question as each site gets it, and what is checked of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flwr.app import RecordDict

from common.errors import Refusal, RefusalCode
from common.method import PublicState
from common.plan import Plan
from common.query import Query, Release
from common.secagg.messages import Shares
from common.wire import decode_release, encode_query, for_site
from server.transcript import Transcript
from server.witnesses import Witnesses


class Question:
    """Round `state.round` + 1 of `plan`, on `state`; under `secagg` of the cohort of that digest."""

    def __init__(
        self, plan: Plan, state: PublicState, witnesses: Witnesses, transcript: Transcript, cohort: str = ""
    ) -> None:
        self._plan = plan
        self._witnesses = witnesses
        self._transcript = transcript
        self.query = Query(
            run_id=plan.run_id,
            plan_digest=plan.digest(),
            round=state.round + 1,
            state_digest=state.digest(),
            cohort=cohort,
            seen=transcript.last,
        )
        self._content = encode_query(self.query, state)

    def to(self, site: str, shares: Sequence[Shares] = ()) -> RecordDict:
        """The question for `site`, with its own witness; the state is packed once for all."""
        return for_site(self._content, replace(self.query, witness=self._witnesses.of(site)), shares)

    def read(self, site: str, answer: RecordDict) -> Release:
        """The release of `site`; Refusal where it is none, another's, or of another state."""
        release = decode_release(answer, self.query, self._plan)
        if release.site != site:
            raise Refusal(RefusalCode.MALFORMED, f"{release.site} answered for {site}")
        self._transcript.require_seen(release, self.query)
        self._witnesses.see(site, release.head)
        return release
