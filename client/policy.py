"""The site's own rules for a plan: they can only refuse."""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.errors import Refusal, RefusalCode
from common.event import MOST_STEPS, Trust, Unit
from common.methods import option_of
from common.plan import TEST_RUN, Plan


@dataclass(frozen=True, kw_only=True)
class SitePolicy:
    """What this site takes part in; trust `central` (the server adds the noise) is for simulation alone.

    `min_cohort` bounds the expected number of people in a sample from below: sampling rate x
    declared population, both public. `max_motions` bounds the motions of one person that
    enter a round, `min_sites_per_person` the plan's declared number of sites that one
    person may be at: a plan that declares fewer counts too little for this site's people. Under
    `secagg`, `min_survivors` bounds the sites in a sum from below (the plan's m), and `min_colluders`
    how many of them may be the server's without harm (its c). `seeded` is the test mode: who knows the seed
    takes the noise away, so the site is in no run whose name does not say that it is a test.
    """

    unit: Unit
    trust: tuple[Trust, ...]
    methods: tuple[str, ...]
    min_noise_multiplier: float = 0.0
    max_sampling_rate: float = 1.0
    max_rounds: int = MOST_STEPS
    min_cohort: float = 0.0
    max_motions: int | None = None
    min_sites_per_person: int = 1
    min_survivors: int = 1
    min_colluders: int = 1
    seeded: bool = False

    def admit(self, plan: Plan, declared_population: int) -> None:
        """Raise Refusal(POLICY) unless `plan` is within the rules; looks at public facts only."""
        if plan.unit != self.unit:
            _refuse(f"unit {plan.unit} is not {self.unit}")
        if plan.trust not in self.trust:
            _refuse(f"trust model {plan.trust} is not among {self.trust}")
        if plan.method not in self.methods:
            _refuse(f"method {plan.method!r} is not among {self.methods}")
        if self.seeded and not plan.run_id.startswith(TEST_RUN):
            _refuse("the site is in test mode, which promises nothing: take test_seed out of its file")
        cohort = plan.sampling_rate * declared_population
        self._at_least("min_noise_multiplier", plan.noise_multiplier, self.min_noise_multiplier)
        self._at_least("min_cohort", cohort, self.min_cohort)
        self._at_least("min_sites_per_person", plan.sites_per_person, self.min_sites_per_person)
        self._at_most("max_sampling_rate", plan.sampling_rate, self.max_sampling_rate)
        self._at_most("max_rounds", plan.rounds, self.max_rounds)
        if plan.trust == "secagg":
            self._at_least("min_survivors", plan.min_sites, self.min_survivors)
            self._at_least("min_colluders", plan.colluders, self.min_colluders)
        if self.max_motions is not None:
            self._at_most("max_motions", _motions(plan), self.max_motions)

    @staticmethod
    def _at_least(rule: str, value: float, least: float) -> None:
        if not value >= least:
            _refuse(f"the plan has {value:g}, and {rule} is {least:g}")

    @staticmethod
    def _at_most(rule: str, value: float, most: float) -> None:
        if not value <= most:
            _refuse(f"the plan has {value:g}, and {rule} is {most:g}")


def _motions(plan: Plan) -> float:
    """Motions of one person in a round, as the method will take them; infinite where it has no such bound."""
    value = option_of(plan.method, plan.options, "motions")
    return value if isinstance(value, int | float) and not math.isnan(value) else math.inf


def _refuse(reason: str) -> None:
    raise Refusal(RefusalCode.POLICY, reason)
