"""What a server may ask under a plan and what a site answers: query, acceptance, release."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import InputError
from common.event import Trust
from common.signing import attest, attested
from common.witness import Head, Witness, is_hex

if TYPE_CHECKING:
    from common.compression import Packing
    from common.vector import Vector

NAME = "1 to 64 letters, digits, '.', '_' or '-'"
_SEEN = "fedmotion state seen"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A site's word, in its signature, that the model state of one round had this digest.

    Every release carries one; the server shows those of the round before with its next
    query, so that sites find out when it showed them different models.
    """

    site: str
    state_digest: str
    signature: str

    def __post_init__(self) -> None:
        require("site", self.site[:80], is_name(self.site), NAME)
        require(
            "state_digest", self.state_digest[:80], is_hex(self.state_digest, 32), "64 digits of hexadecimal"
        )
        require("signature", self.signature[:80], is_hex(self.signature, 64), "128 digits of hexadecimal")

    @classmethod
    def sign(cls, key: Ed25519PrivateKey, site: str, query: Query) -> Seen:
        """What `site` saw when it answered `query`."""
        return cls(
            site=site, state_digest=query.state_digest, signature=attest(key, _SEEN, *_at(site, query))
        )

    def signed_by(self, public: str, query: Query) -> bool:
        """Whether the site whose key is `public` said it of the round and plan of `query`."""
        told = replace(query, state_digest=self.state_digest)
        return attested(public, self.signature, _SEEN, *_at(self.site, told))


@dataclass(frozen=True, kw_only=True)
class Query:
    """One clipped, sampled, noised sum over units: round `round` of an accepted plan.

    Everything else a gate needs stands in the plan it accepted, so a server has no
    field here with which to change the noise, the clip or the rate. `cohort` is, under
    `secagg`, the digest of the sites and ephemeral keys whose masks meet in the sum.
    `witness` is the newest head of the site's ledger that the coordinator has seen, in its own
    signature; `seen` what the roster's sites said of the round before.
    """

    run_id: str
    plan_digest: str
    round: int
    state_digest: str
    cohort: str = ""
    witness: Witness | None = None
    seen: tuple[Seen, ...] = ()

    def digest(self, trust: Trust) -> str:
        """SHA-256 over what is asked and the trust model, in hexadecimal: asked again, it is the same.

        Witness and transcript are no part of the question: later ones may come with the same query.
        """
        asked = {
            "run_id": self.run_id, "plan_digest": self.plan_digest, "round": self.round,
            "state_digest": self.state_digest, "cohort": self.cohort, "trust": trust,
        }  # fmt: skip
        return sha256_of(asked)


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
        require("site", self.site[:80], is_name(self.site), NAME)
        require("declared_population", population, 1 <= population <= 10**9, "from 1 to 1e9")
        key = self.site_key
        require("site_key", key[:80], not key or is_hex(key, 32), "64 digits of hexadecimal")


@dataclass(frozen=True, kw_only=True, eq=False)
class Release:
    """The one thing about people that leaves a site: built by the gate, decoded by the wire.

    `total` `[dimension]` is the sum of clipped contributions plus noise (for
    several steps a round: expressed as such a sum, see `client.gate`); `charge` is the
    number, within the run, of the charge that paid for it; `head` is the ledger's entry
    that holds the release. Neither says how much else the ledger holds. Under `secagg` `total`
    is masked whole numbers, int32 or int64 by the plan's modulus. `packing` is how it travels (None: as
    it is).
    """

    site: str
    run_id: str
    round: int
    query_digest: str
    charge: int
    total: Vector
    head: Head | None = None
    seen: Seen | None = None
    packing: Packing | None = None


def is_name(text: str) -> bool:
    """Whether `text` can name a run or a site: it may then stand in a log, a path or a page as it is."""
    return _NAME.fullmatch(text) is not None


def _at(site: str, query: Query) -> tuple[str, ...]:
    return (site, query.run_id, str(query.round), query.plan_digest, query.state_digest)


def sha256_of(fields: Mapping[str, Any]) -> str:
    """SHA-256 of `fields` as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def require(key: str, value: object, holds: bool, allowed: str) -> None:
    """InputError naming `key`, its `value` and what is `allowed`, unless it `holds`."""
    if not holds:
        raise InputError(f"{key} is {value}: it must be {allowed}")
