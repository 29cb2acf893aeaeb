"""The one door through which anything about people leaves a site.

For each query: check it against the accepted plan, charge the ledger (on disk), draw
the sample, sum the clipped contributions, add noise, write the final bytes, answer. A
crash after the charge leaks nothing; a repeat of the latest query gets the stored
bytes, the same to the bit. Under `central`, where the sum is not noised here, the
ledger keeps the key of its draws instead of the sum. Under `secagg` everything after the
clip is in whole numbers, and what is written and leaves is masked (`client.masking`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import load, save
from torch import Tensor

from client.attempt import Masks
from client.clipping.bound import Contributions, clipped_sum
from client.clipping.integers import integer_sum
from client.ledger import Charge, Ledger
from client.masking import Masking
from client.mechanism import SampledGaussian
from client.memory import Memory, Recollection
from client.opened import Opened, open_plan, placed
from client.policy import SitePolicy
from client.speed import Speed
from client.users import Users
from client.withdrawal import Tombstones
from common.errors import InputError, Refusal, RefusalCode
from common.method import GradientMethod, PublicState, RememberingMethod, digest_arrays
from common.noise import Source
from common.plan import Plan
from common.query import Acceptance, Query, Release
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
from common.vector import Layout, Vector


class LocalGate:
    """The gate of one site, in this process.

    `people` reads the site's data; it is called after the first charge, not before. `identity` is the
    site's key in the rosters of plans; without one it takes no part in secure aggregation.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        policy: SitePolicy,
        declared_population: int,
        people: Callable[[], Users],
        source: Source,
        speed: Speed,
        identity: Ed25519PrivateKey | None = None,
    ) -> None:
        self._ledger = ledger
        self._masking = Masking(ledger.site, identity)
        self._policy = policy
        self._declared_population = declared_population
        self._people = people
        self._source = source
        self._speed = speed
        self._users: Users | None = None
        self._withdrawn = Tombstones()
        self._memory = Memory(ledger.path)
        self._opened: dict[str, Opened] = {}
        self._one_at_a_time = threading.Lock()

    def read_people(self) -> None:
        """Read the site's people before any message comes; InputError where there are none."""
        self._users = self._people()
        if len(self._users) == 0:
            raise InputError("the site's data hold nobody of its share: check [data] and [share]")

    def accept(self, plan: Plan, arrays: Mapping[str, Tensor]) -> Acceptance:
        """Check `plan` against policy and budget and reserve it; data are not read."""
        if digest_arrays(arrays) != plan.arrays_digest:
            raise Refusal(RefusalCode.MALFORMED, "the arrays are not those that the plan names")
        self._policy.admit(plan, self._declared_population)
        if plan.trust == "secagg":
            self._masking.require_able(plan)
        opened = open_plan(plan, arrays, self._speed)
        with self._one_at_a_time:
            if self._users is not None:
                _require_modality(self._users, opened)
            self._ledger.reserve(plan, save(dict(arrays)))
            self._memory.begin_plan(plan.digest())
            self._opened = {plan.digest(): opened}
        return Acceptance(
            site=self._ledger.site,
            plan_digest=plan.digest(),
            declared_population=self._declared_population,
            site_key=self._ledger.key,
            head=self._ledger.head(plan.digest()),
        )

    def plan(self, digest: str) -> Plan:
        """An accepted plan that the site's rules still allow; or Refusal."""
        with self._one_at_a_time:
            return self._accepted(digest).plan

    def advertise(self, asked: Advertise) -> Keys:
        """New ephemeral keys for an attempt at a securely aggregated round, or Refusal."""
        with self._one_at_a_time:
            return self._masking.advertise(self._accepted(asked.plan_digest).plan, asked)

    def share(self, cohort: Cohort) -> Shared:
        """This site's secrets of the attempt in shares for the others of `cohort`, or Refusal."""
        with self._one_at_a_time:
            return self._masking.share(self._accepted(cohort.plan_digest).plan, cohort)

    def confirm(self, asked: Confirm) -> Confirmed:
        """This site's signature of who survived, or Refusal."""
        with self._one_at_a_time:
            return self._masking.confirm(self._accepted(asked.plan_digest).plan, asked)

    def unmask(self, asked: Unmask) -> Unmasked:
        """One share of every other site's, for what the sites have confirmed, or Refusal."""
        with self._one_at_a_time:
            return self._masking.unmask(self._accepted(asked.plan_digest).plan, asked)

    def release(self, query: Query, state: PublicState, shares: Sequence[Shares] = ()) -> Release:
        """The noised sum for `query`, charged first; or Refusal. Under `secagg` with its `shares`."""
        with self._one_at_a_time:
            return self._release(query, state, shares)

    def _release(self, query: Query, state: PublicState, shares: Sequence[Shares]) -> Release:
        opened = self._accepted(query.plan_digest)
        self._check(query, state, opened)
        digest = query.digest(opened.plan.trust)
        mechanism = SampledGaussian(plan=opened.plan, site=self._ledger.site, source=self._source)
        masks = None
        if opened.plan.trust == "secagg" and not self._ledger.answered(query.plan_digest, digest):
            masks = self._masking.masks(opened.plan, query, shares)
        charge = self._ledger.charge(query, digest, mechanism.event())
        total = self._answer(charge, state, opened, mechanism, masks)
        return Release(
            site=self._ledger.site,
            run_id=query.run_id,
            round=query.round,
            query_digest=digest,
            charge=charge.id,
            total=total,
            head=self._ledger.head(query.plan_digest),
            packing=opened.plan.packing,
        )

    def _answer(
        self,
        charge: Charge,
        state: PublicState,
        opened: Opened,
        mechanism: SampledGaussian,
        masks: Masks | None,
    ) -> Vector:
        """The final vector of `charge`, `[dimension]`, after what repeats it is on disk.

        float32; under `secagg` int32 or int64, of which nothing is ever kept without its masks.
        """
        payload, self._withdrawn = charge.payload, charge.tombstones
        if opened.plan.trust == "central":
            if payload is None:
                payload = mechanism.draw_key(charge.round)
                self._ledger.store(charge, payload)
            return self._noised_sum(charge.round, state, opened, mechanism.repeating(payload))
        if payload is None:
            total = self._noised_sum(charge.round, state, opened, mechanism)
            if opened.plan.trust == "secagg":
                total = self._masking.masked(charge.plan, total, masks)
            payload = total.numpy().tobytes()
            self._ledger.store(charge, payload)
        if charge.round == opened.plan.rounds:
            self._memory.close_plan(charge.plan)
        return torch.from_numpy(np.frombuffer(payload, dtype=_sent_as(opened.plan)).copy())

    def rest(self) -> None:
        """Leave the ledger to other processes until the next round."""
        self._ledger.rest()

    def close(self) -> None:
        self._ledger.close()

    def _accepted(self, digest: str) -> Opened:
        if digest not in self._opened:
            plan, arrays = self._ledger.plan(digest)
            self._policy.admit(plan, self._declared_population)
            self._opened = {digest: open_plan(plan, load(arrays), self._speed)}
        return self._opened[digest]

    @staticmethod
    def _check(query: Query, state: PublicState, opened: Opened) -> None:
        plan = opened.plan
        if query.run_id != plan.run_id or not 1 <= query.round <= plan.rounds:
            raise Refusal(
                RefusalCode.OUTSIDE_PLAN, f"round {query.round} of {query.run_id} is outside the plan"
            )
        if state.digest() != query.state_digest:
            raise Refusal(RefusalCode.MALFORMED, "the state is not the one that the query names")
        given = {name: value.dtype for name, value in state.arrays.items()}
        if Layout.of(state.arrays) != Layout.of(opened.broadcast) or given != opened.types:
            raise Refusal(RefusalCode.MALFORMED, "the state has arrays of other names, shapes or types")

    def _noised_sum(
        self, round: int, state: PublicState, opened: Opened, mechanism: SampledGaussian
    ) -> Vector:
        """The mean over the round's steps of its noised sums, `[dimension]` float32; int64 under `secagg`.

        One step is the plain case. With several (rule 9 of the gate), the site moves the
        parameters by its own noised mean between steps; each step carries the full noise
        and is charged, so the parameters of a later step are public.
        """
        plan, method = opened.plan, opened.method
        users = self._loaded(opened)
        parameters = method.parameters(state)
        if plan.trust == "secagg":
            found = self._clipped_sum(users, state, parameters, opened, mechanism, round, 0)
            return found + mechanism.share(round)
        total = torch.zeros(plan.dimension, dtype=torch.float64)
        for step in range(plan.steps_per_round):
            noised = self._clipped_sum(users, state, parameters, opened, mechanism, round, step)
            noised = mechanism.noised(noised, round, step)
            total += noised / plan.steps_per_round
            if isinstance(method, GradientMethod) and step + 1 < plan.steps_per_round:
                mean = noised / (plan.sampling_rate * self._declared_population)
                gradient, _ = plan.split(mean.to(torch.float32))
                parameters = method.local_step(parameters, gradient)
        return total.to(torch.float32)

    def _clipped_sum(
        self,
        users: Users,
        state: PublicState,
        parameters: Mapping[str, Tensor],
        opened: Opened,
        mechanism: SampledGaussian,
        round: int,
        step: int,
    ) -> Vector:
        plan, method, chosen, device = opened.plan, opened.method, opened.chosen, self._speed.device
        parameters = placed(parameters, device)
        key, digest = mechanism.person_key(round, step), plan.digest()
        recalled = None
        if isinstance(method, RememberingMethod):
            recalled = Recollection(self._memory, digest, round, method.memory, users, self._ledger.withdrawn)

        def compute(units: Sequence[int]) -> Contributions:
            rng = mechanism.persons(key, [users.names[unit] for unit in units])
            batch = users.batch(units, method.motions, rng, digest)
            examples = method.examples(state, batch, rng)
            if recalled is not None:
                examples |= recalled.before(units)
            found = chosen.compute(parameters, placed(examples, device))
            return found if recalled is None else recalled.noted(units, found)

        drawn = users.present(mechanism.sample(len(users), round, step))
        limits = plan.dimension, plan.clip_norm
        if plan.trust == "secagg":
            total = integer_sum(compute, drawn, *limits, plan.scale, chosen.widths, device)
        else:
            total = clipped_sum(compute, drawn, *limits, chosen.widths, device)
        if recalled is not None:
            recalled.keep()
        return total

    def _loaded(self, opened: Opened) -> Users:
        if self._users is None:
            self._users = self._people()
        _require_modality(self._users, opened)
        self._users.exclude(self._withdrawn)
        digest = opened.plan.digest()
        self._users.encode(opened.assets.codec, digest, opened.assets.text)
        shards = opened.plan.contributors(self._declared_population)
        return self._users.sharded(shards, digest) if opened.plan.shard_size else self._users


def _require_modality(users: Users, opened: Opened) -> None:
    """Refusal(POLICY) unless the plan's motions are of the kind that the site has, a public fact."""
    modality = opened.assets.codec.modality
    if users.modality != modality:
        raise Refusal(RefusalCode.POLICY, f"the plan's motions are not this site's: {modality}")


def _sent_as(plan: Plan) -> str:
    """The type in which a release's values are kept and leave."""
    return "<f4" if plan.trust != "secagg" else f"<i{plan.modulus_bits // 8}"
