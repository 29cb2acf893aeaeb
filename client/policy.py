"""The site's own rules for a plan: they can only refuse."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import Refusal, RefusalCode
from common.query import Plan, Trust, Unit


@dataclass(frozen=True, kw_only=True)
class SitePolicy:
    """What this site takes part in; trust `central` (the server adds the noise) is for simulation alone."""

    unit: Unit
    trust: tuple[Trust, ...]
    methods: tuple[str, ...]

    def admit(self, plan: Plan) -> None:
        """Raise Refusal(POLICY) unless `plan` is within the rules; looks at public facts only."""
        if plan.unit != self.unit:
            raise Refusal(RefusalCode.POLICY, f"unit {plan.unit} is not {self.unit}")
        if plan.trust not in self.trust:
            raise Refusal(RefusalCode.POLICY, f"trust model {plan.trust} is not among {self.trust}")
        if plan.method not in self.methods:
            raise Refusal(RefusalCode.POLICY, f"method {plan.method!r} is not among {self.methods}")
