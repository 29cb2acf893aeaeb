"""What a server may ask and what a site answers: plan, query, release, and the event they cost."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from common.errors import InputError
from common.vector import Vector
from common.witness import Head, Witness, is_hex

Unit = Literal["user", "record"]
Trust = Literal["local", "central"]
Relation = Literal["add_remove", "replace"]
NEIGHBOURING = "add or remove one unit"
TEST_RUN = "test-"
"""What the name of a run in test mode starts with; no other run's name does."""

MOST_STEPS = 10**7
MOST_SITES_PER_PERSON = 20
MOST_VALUES = 10**8
MOST_LABELS = 1000
MOST_NESTED = 16
"""Of JSON in a plan: deeper, it would be accepted and kept, and never read again."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class PrivacyEvent:
    """`count` compositions of the Gaussian mechanism on a Poisson sample of the units.

    `noise_multiplier` is the noise's standard deviation over the sensitivity to one
    contribution (0 means no noise and an infinite epsilon); `sampling_rate` q lies in
    (0, 1]. `multiplicity` k is how many contributions of one unit may meet under one
    noise, each drawn independently with probability q: one at each of k sites.
    """

    noise_multiplier: float
    sampling_rate: float
    count: int
    multiplicity: int = 1


def sensitivity(clip_norm: float, relation: Relation, sampling_rate: float) -> float:
    """How far one unit moves a sum of contributions of norm at most `clip_norm`.

    C under adding or removing it; 2 C under exchanging its contribution for another,
    as with shards whose number is fixed. A replaced unit is not hidden by sampling here:
    that relation needs `sampling_rate` 1.
    """
    if relation == "add_remove":
        return clip_norm
    _require("sampling_rate", sampling_rate, sampling_rate == 1, "1 under the relation replace")
    return 2 * clip_norm


def person_event(
    *, noise_multiplier: float, sampling_rate: float, steps: int, sites_per_person: int, trust: Trust
) -> PrivacyEvent:
    """What `steps` noised sums at each site cost one person who may be at `sites_per_person` sites.

    Under `local` the noises of the sites are independent: k times the steps. Under
    `central` one noise hides all k contributions: the same steps at multiplicity k.
    """
    apart = trust == "local"
    return PrivacyEvent(
        noise_multiplier=noise_multiplier,
        sampling_rate=sampling_rate,
        count=steps * sites_per_person if apart else steps,
        multiplicity=1 if apart else sites_per_person,
    )


@dataclass(frozen=True, kw_only=True)
class Query:
    """One clipped, sampled, noised sum over units: round `round` of an accepted plan.

    Everything else a gate needs stands in the plan it accepted, so a server has no
    field here with which to change the noise, the clip or the rate. `witness` is the
    newest head of the site's ledger that the coordinator has seen, in its own signature.
    """

    run_id: str
    plan_digest: str
    round: int
    state_digest: str
    witness: Witness | None = None

    def digest(self, trust: Trust) -> str:
        """SHA-256 over what is asked and the trust model, in hexadecimal: asked again, it is the same.

        The witness is no part of the question: a later one may come with the same query.
        """
        asked = {name: value for name, value in asdict(self).items() if name != "witness"}
        return _sha256({**asked, "trust": trust})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's whole claim on every person, fixed before the first round.

    `clip_norm` is C, the norm of one contribution at most; `noise_multiplier` z gives noise of
    standard deviation z C in every coordinate of every noised step. `sites_per_person` is k, the
    declared bound on how many sites hold one person; the events are what such a person pays in
    all. `options` are the method's hyper-parameters; `codec` describes the public codec and
    `text` the encoder of sentences (empty: none); `arrays_digest` names their arrays, which
    travel with the plan; `labels` is the declared vocabulary. `coordinator_key` is the public
    key, in hexadecimal, in which the coordinator countersigns ledger heads (empty: it does not).
    `loss_weight` above 0 adds the weighted loss as a last coordinate, which is clipped, noised
    and charged with the gradient. The ranges keep every number well inside what a double and the
    accountant can hold, so that a hostile plan fails here and nowhere later.
    """

    run_id: str
    method: str
    options: Mapping[str, Any]
    dimension: int
    clip_norm: float
    noise_multiplier: float
    sampling_rate: float
    unit: Unit
    trust: Trust
    rounds: int
    steps_per_round: int
    delta: float
    codec: Mapping[str, Any]
    arrays_digest: str
    labels: tuple[str, ...]
    loss_weight: float = 0.0
    sites_per_person: int = 1
    coordinator_key: str = ""
    text: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        z, labels, k = self.noise_multiplier, len(self.labels), self.sites_per_person
        steps = self.rounds * self.steps_per_round
        _require("run_id", self.run_id[:80], is_name(self.run_id), "1 to 64 letters, digits, '.', '_' or '-'")
        _require("clip_norm", self.clip_norm, 1e-6 <= self.clip_norm <= 1e6, "from 1e-6 to 1e6")
        _require("noise_multiplier", z, z == 0 or 1e-3 <= z <= 1e6, "0, or from 1e-3 to 1e6")
        _require("sampling_rate", self.sampling_rate, 1e-6 <= self.sampling_rate <= 1, "from 1e-6 to 1")
        _require("delta", self.delta, 1e-12 <= self.delta < 1, "at least 1e-12 and below 1")
        for key, value in (("options", self.options), ("codec", self.codec), ("text", self.text)):
            _require(key, "nested deeper", _depth(value) <= MOST_NESTED, f"nested at most {MOST_NESTED} deep")
        weight = self.loss_weight
        _require("loss_weight", weight, weight == 0 or 1e-9 <= weight <= 1e6, "0, or from 1e-9 to 1e6")
        _require("rounds", self.rounds, self.rounds >= 1, "1 or more")
        _require("dimension", self.dimension, 1 <= self.dimension <= MOST_VALUES, f"1 to {MOST_VALUES}")
        _require("steps_per_round", self.steps_per_round, self.steps_per_round >= 1, "1 or more")
        _require("rounds x steps_per_round", steps, steps <= MOST_STEPS, f"at most {MOST_STEPS}")
        _require("sites_per_person", k, 1 <= k <= MOST_SITES_PER_PERSON, f"1 to {MOST_SITES_PER_PERSON}")
        _require("number of labels", labels, labels <= MOST_LABELS, f"at most {MOST_LABELS}")
        _require("unit", self.unit, self.unit in ("user", "record"), "user or record")
        _require("trust", self.trust, self.trust in ("local", "central"), "local or central")
        key = self.coordinator_key
        _require("coordinator_key", key[:80], not key or is_hex(key, 32), "64 digits of hexadecimal")
        if self.steps_per_round > 1 and self.trust != "local":
            raise InputError(
                "steps_per_round above 1 needs trust = local: every step carries the full noise"
                " at the site; set steps_per_round = 1 or --trust local"
            )

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise in each coordinate of one noised sum."""
        return self.noise_multiplier * sensitivity(self.clip_norm, "add_remove", self.sampling_rate)

    def dimension_of(self, gradient: int) -> int:
        """Length of a contribution whose gradient has `gradient` values."""
        return gradient + (self.loss_weight > 0)

    def split(self, mean: Vector) -> tuple[Vector, float | None]:
        """A mean contribution as the gradient and the noised mean loss, where that is asked for."""
        if self.loss_weight == 0:
            return mean, None
        return mean[:-1], float(mean[-1]) / self.loss_weight

    @property
    def guarantee(self) -> str:
        """What the run promises, as `run.json` and every row of `metrics.jsonl` say it."""
        if self.warning is not None:
            return "none"
        return "differential privacy" + ("" if self.unit == "user" else " of single records only")

    @property
    def warning(self) -> str | None:
        """Why the run promises nothing, in one line to print wherever its output is seen; None if it does."""
        reasons = ["trained without noise"] if self.noise_multiplier == 0 else []
        reasons += ["trained in test mode"] if self.run_id.startswith(TEST_RUN) else []
        return f"no privacy guarantee: {' and '.join(reasons)}" if reasons else None

    def event(self) -> PrivacyEvent:
        """What one round costs a unit, at all its sites together."""
        return self.spent(1)

    def spent(self, rounds: int) -> PrivacyEvent:
        """What `rounds` rounds cost a unit, at all its sites together."""
        return person_event(
            noise_multiplier=self.noise_multiplier,
            sampling_rate=self.sampling_rate,
            steps=rounds * self.steps_per_round,
            sites_per_person=self.sites_per_person,
            trust=self.trust,
        )

    def reserved(self) -> PrivacyEvent:
        """What the whole plan costs a unit, at all its sites together."""
        return self.spent(self.rounds)

    def digest(self) -> str:
        """SHA-256 over every field, in hexadecimal."""
        return _sha256(asdict(self))

    def to_json(self) -> str:
        """All fields as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "labels": tuple(fields["labels"])})


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A site's yes to a plan, with the constants of the site that the server needs.

    `head` is the entry of the site's ledger that holds this plan's newest reservation or
    release, signed with `site_key`, the ledger's public key in hexadecimal.
    """

    site: str
    plan_digest: str
    declared_population: int
    site_key: str = ""
    head: Head | None = None

    def __post_init__(self) -> None:
        population = self.declared_population
        _require("site", self.site[:80], is_name(self.site), "1 to 64 letters, digits, '.', '_' or '-'")
        _require("declared_population", population, 1 <= population <= 10**9, "from 1 to 1e9")
        key = self.site_key
        _require("site_key", key[:80], not key or is_hex(key, 32), "64 digits of hexadecimal")


@dataclass(frozen=True, kw_only=True, eq=False)
class Release:
    """The one thing about people that leaves a site: built by the gate, decoded by the wire.

    `total` `[dimension]` float32 is the sum of clipped contributions plus noise (for
    several steps a round: expressed as such a sum, see `client.gate`); `charge` is the
    number, within the run, of the charge that paid for it; `head` is the ledger's entry
    that holds the release. Neither says how much else the ledger holds.
    """

    site: str
    run_id: str
    round: int
    query_digest: str
    charge: int
    total: Vector
    head: Head | None = None


def is_name(text: str) -> bool:
    """Whether `text` can name a run or a site: it may then stand in a log, a path or a page as it is."""
    return _NAME.fullmatch(text) is not None


def _depth(value: object) -> int:
    """How deep lists and tables are nested, counted no further than `MOST_NESTED` + 1."""
    level, depth = [value], 0
    while depth <= MOST_NESTED:
        tables = [part for part in level if isinstance(part, Mapping | list | tuple)]
        if not tables:
            break
        depth += 1
        level = [part for t in tables for part in (t.values() if isinstance(t, Mapping) else t)]
    return depth


def _sha256(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _require(key: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise InputError(f"{key} is {value}: it must be {allowed}")
