"""A run's whole claim on every person, fixed before the first round."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from common.compression import Compression, Packing
from common.errors import InputError
from common.event import (
    MOST_SITES_PER_PERSON,
    MOST_STEPS,
    PrivacyEvent,
    Trust,
    Unit,
    contributors,
    person_event,
    relation_of,
    sensitivity,
)
from common.integer_noise import IntegerNoise
from common.query import NAME, is_name, require, sha256_of
from common.roster import Member, require_roster
from common.witness import is_hex

if TYPE_CHECKING:
    from common.vector import Vector

TEST_RUN = "test-"
"""What the name of a run in test mode starts with; no other run's name does."""

MOST_VALUES = 10**8
MOST_LABELS = 1000
MOST_SCALE = 2**40
MOST_BOUND = 2**31
MOST_NESTED = 16
"""Of JSON in a plan: deeper, it would be accepted and kept, and never read again."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's whole claim on every person, fixed before the first round.

    `clip_norm` is C, the norm of one contribution at most; `noise_multiplier` z gives noise of standard
    deviation z C in every coordinate of every noised step. `sites_per_person` is k, the declared bound on
    how many sites hold one person; the events are what such a person pays in all. `options` are the
    method's hyper-parameters; `codec` describes the public codec and `text` the encoder of sentences
    (empty: none); `arrays_digest` names their arrays, which travel with the plan; `labels` is the
    declared vocabulary. `coordinator_key` is the public key, in hexadecimal, in which the coordinator
    countersigns ledger heads (empty: it does not). `loss_weight` above 0 adds the weighted loss as a last
    coordinate, which is clipped, noised and charged with the gradient. `roster` are the sites, of which
    at least `min_sites` m must release in a round, and `colluders` c is how many of them may share what
    they know with the server; under `secagg` contributions are whole numbers of 1 / `scale`, summed
    modulo 2^`modulus_bits`. `code` is the version that sites must run (empty: any).
    `compression` and `keep` say how noised vectors travel, see `common.compression`. With `shard_size`
    above 0 a contribution is that of a shard of about so many people, not of one person: one person moves
    it by 2 C at most, and z is the noise over that. The ranges keep every
    number well inside what a double and the accountant can hold, so that a hostile plan fails here and
    nowhere later.
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
    roster: tuple[Member, ...] = ()
    min_sites: int = 1
    colluders: int = 1
    scale: int = 1
    modulus_bits: int = 32
    code: str = ""
    compression: Compression = "none"
    keep: float = 1.0
    shard_size: int = 0

    def __post_init__(self) -> None:
        z, labels, k = self.noise_multiplier, len(self.labels), self.sites_per_person
        steps = self.rounds * self.steps_per_round
        require("run_id", self.run_id[:80], is_name(self.run_id), NAME)
        require("clip_norm", self.clip_norm, 1e-6 <= self.clip_norm <= 1e6, "from 1e-6 to 1e6")
        require("noise_multiplier", z, z == 0 or 1e-3 <= z <= 1e6, "0, or from 1e-3 to 1e6")
        require("sampling_rate", self.sampling_rate, 1e-6 <= self.sampling_rate <= 1, "from 1e-6 to 1")
        require("delta", self.delta, 1e-12 <= self.delta < 1, "at least 1e-12 and below 1")
        for key, value in (("options", self.options), ("codec", self.codec), ("text", self.text)):
            require(key, "nested deeper", _depth(value) <= MOST_NESTED, f"nested at most {MOST_NESTED} deep")
        weight = self.loss_weight
        require("loss_weight", weight, weight == 0 or 1e-9 <= weight <= 1e6, "0, or from 1e-9 to 1e6")
        require("rounds", self.rounds, self.rounds >= 1, "1 or more")
        require("dimension", self.dimension, 1 <= self.dimension <= MOST_VALUES, f"1 to {MOST_VALUES}")
        require("steps_per_round", self.steps_per_round, self.steps_per_round >= 1, "1 or more")
        require("rounds x steps_per_round", steps, steps <= MOST_STEPS, f"at most {MOST_STEPS}")
        require("sites_per_person", k, 1 <= k <= MOST_SITES_PER_PERSON, f"1 to {MOST_SITES_PER_PERSON}")
        require("number of labels", labels, labels <= MOST_LABELS, f"at most {MOST_LABELS}")
        require("unit", self.unit, self.unit in ("user", "record"), "user or record")
        require("trust", self.trust, self.trust in get_args(Trust), "local, secagg or central")
        require("code", self.code[:80], self.code == "" or is_name(self.code), NAME)
        require_roster(self.roster, self.min_sites)
        key = self.coordinator_key
        require("coordinator_key", key[:80], not key or is_hex(key, 32), "64 digits of hexadecimal")
        if self.steps_per_round > 1 and self.trust != "local":
            raise InputError(
                "steps_per_round above 1 needs trust = local: every step carries the full noise"
                " at the site; set steps_per_round = 1 or --trust local"
            )
        self._require_packing()
        self._require_shards()
        if self.trust == "secagg":
            self._require_shares()

    def _require_packing(self) -> None:
        kinds = get_args(Compression)
        require("compression", self.compression, self.compression in kinds, ", ".join(kinds))
        sparse = self.compression == "top_k"
        share = 0 < self.keep <= 1 if sparse else self.keep == 1
        require("keep", self.keep, share, "above 0 and at most 1 under top_k, else 1")
        if self.compression != "none" and self.trust != "local":
            raise InputError(
                f"compression {self.compression} needs trust = local: masked words do not compress, and under"
                " central the noise would come after it; set compression = none or trust = local"
            )
        if sparse and self.loss_weight > 0:
            raise InputError("compression top_k may leave out the loss: set loss_curve = false, or use bf16")

    def _require_shards(self) -> None:
        size, q = self.shard_size, self.sampling_rate
        require("shard_size", size, 0 <= size <= 10**9, "0, or from 1 to 1e9")
        if size > 0 and q != 1:
            raise InputError(
                f"sampling_rate is {q:g}: with shard_size {size} every shard answers every round; set it to 1"
            )

    def _require_shares(self) -> None:
        """That what stays hidden holds the whole noise, whoever of the colluders and dropouts it is."""
        n, m, c = len(self.roster), self.min_sites, self.colluders
        require("colluders", c, 1 <= c < m, "at least 1 and below min_sites under secagg")
        require("min_sites", m, 2 * m > n + c, f"over half of {n} sites + {c} colluders")
        power = self.scale >= 1 and self.scale & (self.scale - 1) == 0
        require("scale", self.scale, power and self.scale <= MOST_SCALE, f"a power of two up to {MOST_SCALE}")
        bound = self.clip_norm * self.scale
        require("clip_norm x scale", bound, 1 <= bound <= MOST_BOUND, f"1 to {MOST_BOUND}")
        require("modulus_bits", self.modulus_bits, self.modulus_bits in (32, 64), "32 or 64")
        if self.noise_multiplier > 0:
            self.shares().event(self.sampling_rate, self.rounds)

    @property
    def sensitivity(self) -> float:
        """How far adding or removing one unit moves a sum at most: C, and 2 C among shards."""
        return self.spread * self.clip_norm

    @property
    def spread(self) -> float:
        """The sensitivity in units of C: 1, and 2 among shards."""
        return sensitivity(1.0, relation_of(self.shard_size), self.sampling_rate)

    def contributors(self, population: int) -> int:
        """How many contributions a site of `population` declared units has at q = 1: a public constant."""
        return contributors(population, self.shard_size)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise in each coordinate of one noised sum."""
        return self.noise_multiplier * self.sensitivity

    @property
    def share_variance(self) -> float:
        """(z S scale)^2 / (m - c): the variance of one site's share of integer noise, under `secagg`.

        S is the sensitivity.
        """
        return (self.noise_std * self.scale) ** 2 / (self.min_sites - self.colluders)

    def shares(self) -> IntegerNoise:
        """The noise that stays hidden in one sum under `secagg`: of the m - c honest sites that must survive.

        Raises InputError where a share is too small to be accounted for.
        """
        return IntegerNoise(
            share_std=math.sqrt(self.share_variance),
            shares=self.min_sites - self.colluders,
            sensitivity=self.sensitivity * self.scale,
            dimension=self.dimension,
        )

    @property
    def effective_noise_multiplier(self) -> float:
        """The z that an event is charged with: under `secagg` that of `shares`, a little below z."""
        if self.trust != "secagg" or self.noise_multiplier == 0:
            return self.noise_multiplier
        return self.shares().noise_multiplier

    @property
    def packing(self) -> Packing:
        """The form in which noised vectors travel."""
        return Packing(compression=self.compression, keep=self.keep, dimension=self.dimension)

    def member(self, site: str) -> Member | None:
        """The roster's entry for `site`."""
        return next((member for member in self.roster if member.site == site), None)

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
            noise_multiplier=self.effective_noise_multiplier,
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
        return sha256_of(asdict(self))

    def to_json(self) -> str:
        """All fields as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The inverse of `to_json`; what a plan of an older version lacks is as by default."""
        fields = json.loads(text)
        roster = tuple(Member(**member) for member in fields.get("roster", ()))
        return cls(**{**fields, "labels": tuple(fields["labels"]), "roster": roster})


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
