"""What comes out of masked vectors: their exact sum for any survivors that suffice, else nothing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch

from common.errors import FedmotionError, InputError, Refusal
from common.plan import Plan
from common.secagg.masked_sum import MaskedSum
from common.secagg.messages import Share, Unmask, Unmasked
from tests.secagg_bare import (
    PHASES,
    attempt,
    bare_plan,
    begin,
    boxes,
    least_of,
    listed,
    masked,
    summed,
    vectors_of,
)


@pytest.mark.parametrize("sites", [2, 3, 5, 12])
@pytest.mark.parametrize("bits", [32, 64])
def test_the_sum_is_exact(sites: int, bits: int) -> None:
    plan = bare_plan(sites, modulus_bits=bits, noise_multiplier=400.0)
    vectors = vectors_of(replace(plan, modulus_bits=32))
    total, _ = attempt(plan, vectors)
    assert total is not None and torch.equal(total, summed(vectors, vectors))


@pytest.mark.attack
@pytest.mark.timeout(1200)
def test_the_sum_is_exact_for_two_to_a_hundred_sites() -> None:
    for sites in (*range(2, 31), 50, 75, 100):
        plan = bare_plan(sites)
        vectors = vectors_of(plan)
        gone = {name: PHASES[i % 4] for i, name in enumerate(list(vectors)[: sites - plan.min_sites])}
        total, arrived = attempt(plan, vectors, gone)
        assert total is not None and torch.equal(total, summed(vectors, arrived))


def check_pattern(plan: Plan, pattern: Iterable[str | None]) -> bool:
    vectors = vectors_of(plan)
    gone = {name: phase for name, phase in zip(vectors, pattern, strict=True) if phase is not None}
    total, arrived = attempt(plan, vectors, gone)
    left = len(vectors) - len(gone)
    assert (total is not None) == (left >= plan.min_sites), f"{gone}: {left} sites stayed to the end"
    if total is not None:
        assert torch.equal(total, summed(vectors, arrived))
    return total is not None


def test_every_kind_of_dropout_at_five_sites_gives_the_survivors_sum_or_nothing() -> None:
    """T15: five sites, each lost at one of four phases or not at all; which site it is goes round."""
    plan, found = bare_plan(5, dimension=4), 0
    kinds = itertools.combinations_with_replacement((None, *PHASES), 5)
    for number, kind in enumerate(kinds):
        turn = number % 5
        found += check_pattern(plan, kind[turn:] + kind[:turn])
    assert found == 1 + len(PHASES)


@pytest.mark.attack
@pytest.mark.timeout(1200)
def test_every_pattern_of_dropouts_at_five_sites() -> None:
    plan = bare_plan(5, dimension=4)
    found = sum(check_pattern(plan, p) for p in itertools.product((None, *PHASES), repeat=5))
    assert found == 1 + 5 * len(PHASES)


def heard(plan: Plan, lost: int = 0) -> tuple[MaskedSum, list[Unmasked], torch.Tensor]:
    """An attempt up to the replies of all survivors, `lost` sites having shared and not released."""
    vectors = vectors_of(plan)
    sites, cohort = begin(plan)
    shared = {name: sites[name].share(cohort) for name in sites}
    total = MaskedSum(plan, cohort, list(shared.values()))
    alive = list(vectors)[lost:]
    for name in alive:
        total.add(name, masked(sites[name], cohort, boxes(shared, name), vectors[name]))
    asked = listed(cohort, alive)
    unmask = Unmask(**vars(asked), confirmed=tuple(sites[name].confirm(asked) for name in alive))
    return total, [sites[name].unmask(unmask) for name in alive], summed(vectors, alive)


def lying(reply: Unmasked) -> Unmasked:
    """The same reply with a number of its own in place of every share."""
    return replace(reply, shares=tuple(replace(s, value=b"\0" + os.urandom(32)) for s in reply.shares))


@pytest.mark.parametrize("liar", [0, 1, 5])
def test_a_wrong_share_is_found_out_and_done_without(liar: int) -> None:
    total, replies, expected = heard(bare_plan(7, min_sites=5), lost=1)
    for place, reply in enumerate(replies):
        total.hear(lying(reply) if place == liar else reply)
    assert torch.equal(total.total(), expected)


def test_where_too_many_shares_are_wrong_nothing_comes_out() -> None:
    total, replies, _ = heard(bare_plan(7, min_sites=5))
    for place, reply in enumerate(replies):
        total.hear(lying(reply) if place in (0, 2, 4) else reply)
    with pytest.raises(FedmotionError, match="do not fit it"):
        total.total()


def test_a_vector_under_wrong_masks_is_found_out() -> None:
    plan = bare_plan(5, dimension=200)
    total, replies, _ = heard(plan)
    total._words += 2**31 // 3 * torch.arange(200).numpy().astype("u4")
    for reply in replies:
        total.hear(reply)
    with pytest.raises(FedmotionError, match="out of range"):
        total.total()


def test_too_few_replies_take_off_nothing() -> None:
    plan = bare_plan(5)
    total, replies, _ = heard(plan)
    for reply in replies[: plan.min_sites - 1]:
        total.hear(reply)
    with pytest.raises(FedmotionError, match="are needed"):
        total.total()


def test_the_coordinator_never_takes_both_secrets_of_a_site() -> None:
    """A reply that says of a survivor that it dropped, or gives two shares of one site, is refused whole."""
    total, replies, _ = heard(bare_plan(5), lost=1)
    (first, *others), site = replies[0].shares, replies[0]
    for shares in (
        (replace(first, survivor=not first.survivor), *others),
        (first, replace(first, survivor=not first.survivor), *others),
        tuple(others),
        (*others, Share(of=first.of, survivor=first.survivor, value=b"")),
        (*others, Share(of="nobody", survivor=True, value=first.value)),
    ):
        with pytest.raises(Refusal):
            total.hear(replace(site, shares=shares))
    total.hear(site)
    for again in (site, replace(site, site="site000"), replace(replies[1], cohort="00" * 32)):
        with pytest.raises(Refusal):
            total.hear(again)


def test_vectors_come_once_from_those_who_shared_before_anything_is_unmasked() -> None:
    plan = bare_plan(5)
    total, replies, _ = heard(plan, lost=1)
    vector = torch.zeros(plan.dimension, dtype=torch.int32)
    for site in ("site001", "nobody"):
        with pytest.raises(Refusal):
            total.add(site, vector)
    with pytest.raises(Refusal):
        total.add("site000", vector[:-1])
    total.hear(replies[0])
    with pytest.raises(Refusal):
        total.add("site000", vector)
    assert (total.survivors, total.dropped) == (("site001", "site002", "site003", "site004"), ("site000",))


def test_shares_of_strangers_or_given_twice_begin_no_sum() -> None:
    plan = bare_plan(5)
    sites, cohort = begin(plan)
    shared = sites["site000"].share(cohort)
    for given in ([shared, shared], [replace(shared, site="nobody")]):
        with pytest.raises(InputError):
            MaskedSum(plan, cohort, given)


def test_the_least_threshold_is_over_half_of_the_sites_and_the_colluders() -> None:
    for sites, colluders in itertools.product(range(3, 30), (1, 2)):
        least = least_of(sites, colluders)
        assert 2 * least > sites + colluders >= 2 * (least - 1)
