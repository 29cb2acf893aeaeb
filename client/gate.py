"""The one door through which anything about people leaves a site.

For each query: check it against the accepted plan, charge the ledger (on disk), draw
the sample, sum the clipped contributions, add noise, write the final bytes, answer. A
crash after the charge leaks nothing; a repeat of the latest query gets the stored
bytes, the same to the bit. Under `central`, where the sum is not noised here, the
ledger keeps the key of its draws instead of the sum.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from client.clipping.bound import Contributions, clipped_sum
from client.clipping.choice import Chosen, choose
from client.clipping.cost import require_affordable
from client.clipping.step import Examples, Step
from client.ledger import Charge, Ledger
from client.mechanism import SampledGaussian
from client.policy import SitePolicy
from client.speed import Speed
from client.users import Users
from client.withdrawal import Tombstones
from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.generator.assets import Assets
from common.generator.bounds import MOST_LATENT
from common.generator.condition import Condition
from common.generator.text import bounded
from common.method import GradientMethod, PublicState, UserBatch, digest_arrays
from common.methods import build, option_of
from common.noise import PersonRandom, Source
from common.plan import Plan
from common.query import Acceptance, Query, Release
from common.vector import Layout, Vector

_UNFIT = (FedmotionError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class _Open:
    """An accepted plan, ready to compute with."""

    plan: Plan
    method: GradientMethod
    assets: Assets
    chosen: Chosen


class LocalGate:
    """The gate of one site, in this process.

    `people` reads the site's data; it is called after the first charge, not before.
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
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._declared_population = declared_population
        self._people = people
        self._source = source
        self._speed = speed
        self._users: Users | None = None
        self._withdrawn = Tombstones()
        self._opened: dict[str, _Open] = {}
        self._one_at_a_time = threading.Lock()

    def accept(self, plan: Plan, arrays: Mapping[str, Tensor]) -> Acceptance:
        """Check `plan` against policy and budget and reserve it; data are not read."""
        if digest_arrays(arrays) != plan.arrays_digest:
            raise Refusal(RefusalCode.MALFORMED, "the arrays are not those that the plan names")
        self._policy.admit(plan, self._declared_population)
        opened = _open(plan, arrays, self._speed)
        with self._one_at_a_time:
            self._ledger.reserve(plan, save(dict(arrays)))
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

    def release(self, query: Query, state: PublicState) -> Release:
        """The noised sum for `query`, charged first; or Refusal."""
        with self._one_at_a_time:
            return self._release(query, state)

    def _release(self, query: Query, state: PublicState) -> Release:
        opened = self._accepted(query.plan_digest)
        self._check(query, state, opened)
        digest = query.digest(opened.plan.trust)
        mechanism = SampledGaussian(plan=opened.plan, site=self._ledger.site, source=self._source)
        charge = self._ledger.charge(query, digest, mechanism.event())
        total = self._answer(charge, state, opened, mechanism)
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
        self, charge: Charge, state: PublicState, opened: _Open, mechanism: SampledGaussian
    ) -> Vector:
        """The final vector of `charge`, `[dimension]` float32, after what repeats it is on disk."""
        payload = charge.payload
        self._withdrawn = charge.tombstones
        if opened.plan.trust == "central":
            if payload is None:
                payload = mechanism.draw_key(charge.round)
                self._ledger.store(charge, payload)
            return self._noised_sum(charge.round, state, opened, mechanism.repeating(payload))
        if payload is None:
            payload = self._noised_sum(charge.round, state, opened, mechanism).numpy().tobytes()
            self._ledger.store(charge, payload)
        return torch.from_numpy(np.frombuffer(payload, dtype=np.float32).copy())

    def rest(self) -> None:
        """Leave the ledger to other processes until the next round."""
        self._ledger.rest()

    def close(self) -> None:
        self._ledger.close()

    def _accepted(self, digest: str) -> _Open:
        if digest not in self._opened:
            plan, arrays = self._ledger.plan(digest)
            self._policy.admit(plan, self._declared_population)
            self._opened = {digest: _open(plan, load(arrays), self._speed)}
        return self._opened[digest]

    @staticmethod
    def _check(query: Query, state: PublicState, opened: _Open) -> None:
        plan = opened.plan
        if query.run_id != plan.run_id or not 1 <= query.round <= plan.rounds:
            raise Refusal(
                RefusalCode.OUTSIDE_PLAN, f"round {query.round} of {query.run_id} is outside the plan"
            )
        if state.digest() != query.state_digest:
            raise Refusal(RefusalCode.MALFORMED, "the state is not the one that the query names")
        expected = Layout.of(opened.method.parameters(opened.method.init(0)))
        try:
            given = Layout.of(opened.method.parameters(state))
        except (KeyError, FedmotionError):
            raise Refusal(RefusalCode.MALFORMED, "the state lacks parameters") from None
        if given != expected:
            raise Refusal(RefusalCode.MALFORMED, "the state has parameters of other names or shapes")
        if any(value.dtype != torch.float32 for value in opened.method.parameters(state).values()):
            raise Refusal(RefusalCode.MALFORMED, "the state has parameters that are not float32")

    def _noised_sum(
        self, round: int, state: PublicState, opened: _Open, mechanism: SampledGaussian
    ) -> Vector:
        """The mean over the round's steps of its noised sums, `[dimension]` float32.

        One step is the plain case. With several (rule 9 of the gate), the site moves the
        parameters by its own noised mean between steps; each step carries the full noise
        and is charged, so the parameters of a later step are public.
        """
        plan, method = opened.plan, opened.method
        users = self._loaded(opened)
        parameters = method.parameters(state)
        total = torch.zeros(plan.dimension, dtype=torch.float64)
        for step in range(plan.steps_per_round):
            noised = self._clipped_sum(users, parameters, opened, mechanism, round, step)
            noised = mechanism.noised(noised, round, step)
            total += noised / plan.steps_per_round
            if step + 1 < plan.steps_per_round:
                mean = noised / (plan.sampling_rate * self._declared_population)
                gradient, _ = plan.split(mean.to(torch.float32))
                parameters = method.local_step(parameters, gradient)
        return total.to(torch.float32)

    def _clipped_sum(
        self,
        users: Users,
        parameters: Mapping[str, Tensor],
        opened: _Open,
        mechanism: SampledGaussian,
        round: int,
        step: int,
    ) -> Vector:
        plan, method, chosen, device = opened.plan, opened.method, opened.chosen, self._speed.device
        placed = _placed(parameters, device)
        key = mechanism.person_key(round, step)

        def compute(units: Sequence[int]) -> Contributions:
            rng = mechanism.persons(key, [users.names[unit] for unit in units])
            batch = users.batch(units, method.motions, rng, plan.digest())
            return chosen.compute(placed, _placed(method.examples(batch, rng), device))

        drawn = users.present(mechanism.sample(len(users), round, step))
        return clipped_sum(compute, drawn, plan.dimension, plan.clip_norm, chosen.widths, device)

    def _loaded(self, opened: _Open) -> Users:
        if self._users is None:
            self._users = self._people()
        if self._users.modality != opened.assets.codec.modality:
            raise Refusal(
                RefusalCode.POLICY, f"the plan's motions are not this site's: {opened.assets.codec.modality}"
            )
        self._users.exclude(self._withdrawn)
        self._users.encode(opened.assets.codec, opened.plan.digest(), opened.assets.text)
        return self._users


def _open(plan: Plan, arrays: Mapping[str, Tensor], speed: Speed) -> _Open:
    """Build what the plan names from the site's own code; raises Refusal(MALFORMED) if it does not fit."""
    try:
        assets = Assets.from_arrays(arrays, plan.codec, plan.text)
        codec = assets.codec
        if codec.labels != plan.labels or not 1 <= codec.latent <= MOST_LATENT:
            raise ValueError("the codec has other labels, or no latent of a usable length")
        method = build(plan.method, plan.options, assets)
        dimension = plan.dimension_of(method.dimension)
    except _UNFIT as error:
        raise Refusal(RefusalCode.MALFORMED, f"the plan's method or codec does not build: {error}") from None
    if not isinstance(method, GradientMethod):
        raise Refusal(RefusalCode.POLICY, f"this gate does not compute {plan.method}")
    if dimension != plan.dimension:
        raise Refusal(RefusalCode.MALFORMED, "the plan's dimension is not the method's")
    if assets.text is not None:
        try:
            assets.text.check()
        except InputError as error:
            raise Refusal(RefusalCode.UNAVAILABLE, str(error)) from None
    return _chosen(plan, method, assets, speed)


def _chosen(plan: Plan, method: GradientMethod, assets: Assets, speed: Speed) -> _Open:
    """The engine for `plan`, tried on public probes: made-up people and random parameters."""
    random = torch.Generator().manual_seed(0)
    parameters = {
        name: torch.randn(value.shape, generator=random) / max(1, value.shape[-1]) ** 0.5
        for name, value in method.parameters(method.init(0)).items()
    }
    step = Step(method, Layout.of(parameters), plan.loss_weight)

    def probe(units: int) -> Examples:
        place = (units, method.motions)
        labels = torch.randint(len(plan.labels) + 1, place, generator=random)
        text = bounded(torch.randn(*place, assets.text_size, generator=random))
        lengths = torch.randint(1, assets.codec.frames + 1, place, generator=random)
        batch = UserBatch(
            latents=torch.randn(*place, assets.codec.latent, generator=random),
            condition=Condition(labels, text, lengths),
            mask=torch.ones(place, dtype=torch.bool),
        )
        return _placed(
            method.examples(batch, PersonRandom(bytes(32), [str(u) for u in range(units)])), speed.device
        )

    try:
        replicas = option_of(plan.method, plan.options, "replicas") or 1
        require_affordable(method, step, assets, replicas, speed.device)
        chosen = choose(step, _placed(parameters, speed.device), probe, speed)
    except InputError as error:
        raise Refusal(RefusalCode.UNAVAILABLE, str(error)) from None
    return _Open(plan=plan, method=method, assets=assets, chosen=chosen)


def _placed(tensors: Mapping[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in tensors.items()}
