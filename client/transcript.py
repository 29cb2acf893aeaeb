"""Whether the server shows every site the same model: what the others signed to have seen, beside the ledger.

Only words in the signature of the plan's roster count, and only of the round before the one that is asked
for. docs/envelopes.md says what that rules out, and what it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from common.errors import Refusal, RefusalCode
from common.plan import Plan
from common.query import Query


def require_one_view(query: Query, plan: Plan, site: str, answered: Mapping[int, str]) -> None:
    """Raise Refusal(SPLIT_VIEW) unless all that is known of the run speaks of one state a round.

    `answered` is the state digest that `site` answered with, by round, as its ledger has it. A round is
    asked of one state, however often; and from the second on the query carries the words of at least
    `min_sites` sites that they all answered the round before with one state: that of this site, if it
    took part. Its own word may be missing, because an answer can be late.
    """
    if not plan.roster:
        return
    own = answered.get(query.round, query.state_digest)
    if own != query.state_digest:
        raise _split(f"round {query.round} was answered with state {own} and is asked with another", query)
    if query.round > 1:
        _require_transcript(query, plan, site, answered.get(query.round - 1))


def _require_transcript(query: Query, plan: Plan, site: str, own: str | None) -> None:
    before = replace(query, round=query.round - 1)
    told: dict[str, str] = {}
    standing = 0
    for seen in query.seen:
        member = plan.member(seen.site)
        if member is None or seen.site in told or not seen.signed_by(member.key, before):
            raise _split(f"what {seen.site} is said to have seen in round {before.round} is not its", query)
        told[seen.site] = seen.state_digest
        standing += not member.expired
    if own is not None:
        told.setdefault(site, own)
    different = sorted(set(told.values()))
    if len(different) > 1 or (own is not None and different != [own]):
        raise _split(f"round {before.round} was answered with {_by_state(told)}", query)
    if standing < plan.min_sites:
        raise _split(f"{standing} sites vouch for round {before.round}, {plan.min_sites} are needed", query)


def _by_state(told: Mapping[str, str]) -> str:
    """Every state with the sites that answered with it."""
    states = sorted(set(told.values()))
    return "; ".join(f"{state} by {', '.join(s for s in told if told[s] == state)}" for state in states)


def _split(reason: str, query: Query) -> Refusal:
    return Refusal(
        RefusalCode.SPLIT_VIEW,
        f"{reason}; round {query.round} of {query.run_id} comes with state {query.state_digest}: ask the"
        " coordinator and the other sites what they saw",
    )
