"""Attempts at a round without gates: given vectors, the sites' cryptography and an honest coordinator."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from client.attempt import Attempt
from common.errors import FedmotionError
from common.plan import Plan
from common.secagg.masked_sum import MaskedSum
from common.secagg.messages import Advertise, Cohort, Confirm, Shared, Shares, Unmask
from tests.secagg_round import identity_of, secagg_plan

PHASES = ("share", "release", "confirm", "unmask")


def least_of(sites: int, colluders: int = 1) -> int:
    """The least min_sites that a plan of so many sites may have."""
    return (sites + colluders) // 2 + 1


def bare_plan(sites: int, dimension: int = 32, **changes: Any) -> Plan:
    changes = {"min_sites": least_of(sites), **changes}
    return replace(secagg_plan(sites, **changes), dimension=dimension)


def vectors_of(plan: Plan, seed: int = 0) -> dict[str, Tensor]:
    """What each site would send: whole numbers of a size that the modulus has room for."""
    random = torch.Generator().manual_seed(seed)
    most = 2 ** (plan.modulus_bits - 16)
    return {
        member.site: torch.randint(-most, most, (plan.dimension,), generator=random) for member in plan.roster
    }


def summed(vectors: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """The plain sum of the vectors of `names`."""
    return torch.stack([vectors[name] for name in names]).sum(dim=0)


STATE: Final = "5" * 64
"""The digest of the model that every site is shown."""


def asked_of(plan: Plan, round: int = 1) -> Advertise:
    return Advertise(run_id=plan.run_id, plan_digest=plan.digest(), round=round, attempt=os.urandom(16).hex())


def begin(plan: Plan, names: Sequence[str] | None = None) -> tuple[dict[str, Attempt], Cohort]:
    """Sites with new keys, and the cohort of them all."""
    asked = asked_of(plan)
    names = [member.site for member in plan.roster] if names is None else names
    sites = {name: Attempt(plan, name, identity_of(name), asked) for name in names}
    return sites, Cohort(**vars(asked), keys=tuple(sites[name].keys for name in sorted(sites)))


def boxes(shared: Mapping[str, Shared], name: str) -> list[Shares]:
    """What the others sealed for `name`."""
    return [box for answer in shared.values() for box in answer.shares if box.recipient == name]


def masked(
    site: Attempt, cohort: Cohort, shares: Sequence[Shares], vector: Tensor, state: str = STATE
) -> Tensor:
    """What the gate does with a site's masks."""
    masks = site.masks(cohort.digest(), shares, state)
    site.use(masks)
    return masks.onto(vector)


def listed(cohort: Cohort, survivors: Collection[str]) -> Confirm:
    return Confirm(
        run_id=cohort.run_id,
        plan_digest=cohort.plan_digest,
        round=cohort.round,
        cohort=cohort.digest(),
        survivors=tuple(sorted(survivors)),
    )


def attempt(
    plan: Plan, vectors: Mapping[str, Tensor], dropped: Mapping[str, str] | None = None
) -> tuple[Tensor | None, set[str]]:
    """The sum that comes out, if any, and whose vectors arrived; `dropped` names a site's last phase."""
    gone = dropped or {}

    def alive(phase: str) -> list[str]:
        return [n for n in vectors if n not in gone or PHASES.index(gone[n]) > PHASES.index(phase)]

    sites, cohort = begin(plan)
    shared = {name: sites[name].share(cohort) for name in alive("share")}
    total, arrived = MaskedSum(plan, cohort, list(shared.values())), set()
    try:
        for name in alive("release"):
            total.add(name, masked(sites[name], cohort, boxes(shared, name), vectors[name]))
            arrived.add(name)
        asked = listed(cohort, total.survivors)
        confirmed = tuple(sites[name].confirm(asked) for name in alive("confirm"))
        unmask = Unmask(**vars(asked), confirmed=confirmed)
        for name in alive("unmask"):
            total.hear(sites[name].unmask(unmask))
        return total.total(), arrived
    except FedmotionError:
        return None, arrived
