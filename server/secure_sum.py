"""One attempt at a securely aggregated round, from the coordinator's side: five questions, one sum.

Advertise -> Keys; Cohort -> Shared; Query with the others' shares -> masked Release; Confirm -> Confirmed;
Unmask -> Unmasked. A site that fails at any of them is out of the attempt; with fewer than the
plan's `min_sites` left the attempt is void, and what the sites were charged for it stays charged.
Masked vectors are added as they arrive: memory does not grow with the number of sites.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import torch
from flwr.app import RecordDict

from common.errors import FedmotionError, Refusal, RefusalCode
from common.method import PublicState
from common.plan import Plan
from common.secagg.masked_sum import MaskedSum
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
from server.aggregate import Sum
from server.enrolment import Enrolment
from server.question import Question
from server.transcript import Transcript
from server.witnesses import Witnesses

LIGHT: Final = 60.0
"""Seconds at most for each question that a site answers without computing; never more than the deadline."""

T = TypeVar("T")


class VoidError(FedmotionError):
    """Nothing of this attempt can be used; `silent` where no site can have released anything for it."""

    def __init__(self, why: str, silent: bool = False) -> None:
        super().__init__(why)
        self.silent = silent


class SecureSum:
    """Round `state.round` + 1 of `plan`, which aggregates securely, among the sites of `enrolment`."""

    def __init__(
        self,
        plan: Plan,
        state: PublicState,
        enrolment: Enrolment,
        witnesses: Witnesses,
        transcript: Transcript,
        deadline: float,
    ) -> None:
        self._plan = plan
        self._state = state
        self._enrolment = enrolment
        self._witnesses = witnesses
        self._transcript = transcript
        self._deadline = deadline

    def attempt(self, sites: Sequence[str]) -> Sum:
        """The sum over those of `sites` that stay to the end of their vectors; raises VoidError."""
        cohort = self._cohort(sites)
        shared = self._shared(cohort)
        masked = MaskedSum(self._plan, cohort, list(shared.values()))
        total = self._released(cohort, shared, masked)
        self._unmask(self._confirmed(cohort, masked), masked)
        try:
            whole = masked.total()
        except FedmotionError as error:
            raise VoidError(str(error)) from None
        total.unmasked(whole.to(torch.float64) / self._plan.scale)
        return total

    def _cohort(self, sites: Sequence[str]) -> Cohort:
        """New keys of every site for an attempt under a new name."""
        asked = Advertise(
            run_id=self._plan.run_id,
            plan_digest=self._plan.digest(),
            round=self._state.round + 1,
            attempt=os.urandom(16).hex(),
        )

        def read(site: str, content: RecordDict) -> Keys:
            keys = decode(content, Keys)
            _require(keys.site == site and keys.repeats(asked), f"{site} sent other keys than were asked for")
            _require(keys.signed_by(self._key(site)), f"{site} did not sign these keys")
            return keys

        found = self._enough(self._ask(sites, lambda _: encode(asked), read, "keys"), "keys", True)
        return Cohort(**vars(asked), keys=tuple(found[site] for site in sorted(found)))

    def _shared(self, cohort: Cohort) -> dict[str, Shared]:
        """Each site's shares for all the others."""
        sites, digest, content = [keys.site for keys in cohort.keys], cohort.digest(), encode(cohort)

        def read(site: str, answer: RecordDict) -> Shared:
            shared = decode(answer, Shared)
            _require(shared.site == site and shared.cohort == digest, f"{site} shared with another cohort")
            others = sorted(box.recipient for box in shared.shares)
            _require(others == [name for name in sites if name != site], f"{site} left a site out")
            _require(all(box.sender == site for box in shared.shares), f"{site} shared in another's name")
            return shared

        return self._enough(self._ask(sites, lambda _: content, read, "shares"), "shares", True)

    def _released(self, cohort: Cohort, shared: Mapping[str, Shared], masked: MaskedSum) -> Sum:
        """Every masked vector into `masked`; whose they are, and how often they were charged."""
        boxes: dict[str, list[Shares]] = {site: [] for site in shared}
        for answer in shared.values():
            for box in answer.shares:
                if box.recipient in boxes:
                    boxes[box.recipient].append(box)
        question = Question(self._plan, self._state, self._witnesses, self._transcript, cohort.digest())
        total = Sum(self._plan.dimension)

        def read(site: str, answer: RecordDict) -> None:
            release = question.read(site, answer)
            masked.add(site, release.total)
            total.count(release, self._enrolment.population(site))

        def ask(site: str) -> RecordDict:
            return question.to(site, boxes[site])

        self._enough(self._ask(sorted(shared), ask, read, "release", self._deadline), "masked vectors")
        return total

    def _confirmed(self, cohort: Cohort, masked: MaskedSum) -> Unmask:
        """The list of those whose vectors are in the sum, in the signatures of those who agree to it."""
        asked = Confirm(
            run_id=cohort.run_id,
            plan_digest=cohort.plan_digest,
            round=cohort.round,
            cohort=cohort.digest(),
            survivors=masked.survivors,
        )
        state = self._state.digest()

        def read(site: str, answer: RecordDict) -> Confirmed:
            confirmed = decode(answer, Confirmed)
            signed = confirmed.site == site and confirmed.signed_by(self._key(site), asked, state)
            _require(signed, f"{site} did not sign the list of survivors")
            return confirmed

        found = self._enough(
            self._ask(masked.survivors, lambda _: encode(asked), read, "survivors"), "signatures"
        )
        return Unmask(**vars(asked), confirmed=tuple(found[site] for site in sorted(found)))

    def _unmask(self, asked: Unmask, masked: MaskedSum) -> None:
        """The shares with which the masks come off the sum, into `masked`."""
        content = encode(asked)

        def read(site: str, answer: RecordDict) -> None:
            unmasked = decode(answer, Unmasked)
            _require(unmasked.site == site, f"{unmasked.site} answered for {site}")
            masked.hear(unmasked)

        signers = [confirmed.site for confirmed in asked.confirmed]
        self._enough(self._ask(signers, lambda _: content, read, "unmasking"), "shares of masks")

    def _ask(
        self,
        sites: Sequence[str],
        question: Callable[[str], RecordDict],
        read: Callable[[str, RecordDict], T],
        step: str,
        seconds: float = LIGHT,
    ) -> Iterator[tuple[str, T]]:
        group = f"round {self._state.round + 1} {step}"
        seconds = min(seconds, self._deadline)
        return self._enrolment.ask(sites, question, read, seconds=seconds, group=group)

    def _enough(self, answers: Iterator[tuple[str, T]], what: str, silent: bool = False) -> dict[str, T]:
        """All answers; VoidError where the plan asks for more."""
        found = dict(answers)
        if len(found) < self._plan.min_sites:
            raise VoidError(
                f"in round {self._state.round + 1} {len(found)} sites sent {what}, and the plan asks for"
                f" {self._plan.min_sites}",
                silent,
            )
        return found

    def _key(self, site: str) -> str:
        """The key that the roster has for `site`."""
        member = self._plan.member(site)
        if member is None:
            raise Refusal(RefusalCode.FOREIGN, f"{site} is not in the roster")
        return member.key


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise Refusal(RefusalCode.MALFORMED, reason)
