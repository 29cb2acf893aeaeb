"""What a release costs a person: the event that the accountant turns into epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.errors import InputError

Unit = Literal["user", "record"]
Trust = Literal["local", "secagg", "central"]
Relation = Literal["add_remove", "replace"]
NEIGHBOURING = "add or remove one unit"

MOST_STEPS = 10**7
MOST_SITES_PER_PERSON = 20


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
    if sampling_rate != 1:
        raise InputError(f"sampling_rate is {sampling_rate}: it must be 1 under the relation replace")
    return 2 * clip_norm


def relation_of(shard_size: int) -> Relation:
    """How one unit's presence changes contributions: it adds its own, or exchanges its shard's."""
    return "add_remove" if shard_size == 0 else "replace"


def contributors(population: int, shard_size: int) -> int:
    """How many contributions `population` declared units make: each its own, or one for each shard."""
    return population if shard_size == 0 else -(-population // shard_size)


def person_event(
    *, noise_multiplier: float, sampling_rate: float, steps: int, sites_per_person: int, trust: Trust
) -> PrivacyEvent:
    """What `steps` noised sums at each site cost one person who may be at `sites_per_person` sites.

    Under `local` the noises of the sites are independent: k times the steps. Under
    `secagg` and `central` one noise hides all k contributions: the same steps at multiplicity k.
    """
    apart = trust == "local"
    return PrivacyEvent(
        noise_multiplier=noise_multiplier,
        sampling_rate=sampling_rate,
        count=steps * sites_per_person if apart else steps,
        multiplicity=1 if apart else sites_per_person,
    )
