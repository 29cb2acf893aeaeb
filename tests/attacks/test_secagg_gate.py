"""Whole gates under secure aggregation: what they sum, the noise in it, what is kept and sent (T3, T15)."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from client.ledger import Ledger
from client.mechanism import SampledGaussian
from client.membership import AGREED
from common.errors import FedmotionError, Refusal, RefusalCode
from common.secagg.sizes import sizes_for
from tests.leaks import noting_sums
from tests.lone_site import HERE, Lone, lone_plan, watching
from tests.secagg_bare import listed
from tests.secagg_round import PHASES, Attempt, Site, accept, names_of, open_site, secagg_plan
from tests.small_site import ENGINES, crowd, make_state, make_users

SEED = 1


def fine(plan: Any) -> Any:
    """`plan` with the scale and modulus that its other facts call for."""
    names = (
        "clip_norm",
        "dimension",
        "noise_multiplier",
        "sampling_rate",
        "roster",
        "min_sites",
        "colluders",
    )
    found = sizes_for(**{name: getattr(plan, name) for name in names})
    return replace(plan, scale=found.scale, modulus_bits=found.modulus_bits)


def dealt(windows: int, sites: int, draw: random.Random) -> list[int]:
    cuts = sorted(draw.sample(range(1, windows), sites - 1))
    return [stop - start for start, stop in itertools.pairwise([0, *cuts, windows])]


def check_integer_sensitivity(folder: Path, engine: str = "auto", pairs: int = 3) -> None:
    """T3: one person more moves the whole numbers that are summed by C x scale at most, or nearly so."""
    draw, found = random.Random(0), []
    plan = fine(lone_plan(noise_multiplier=0.0, sampling_rate=1.0))
    less, more = (Lone(folder / name, plan, SEED, engine) for name in ("less", "more"))
    for pair in range(pairs):
        for windows in dealt(draw.randint(5, 200), draw.choice([1, 2, 5]), draw):
            people = {f"{pair}-{i}": draw.randint(1, 6) for i in range(draw.choice([0, 1, 3, 20]))}
            items = list(people.items())
            items.insert(draw.randint(0, len(items)), ("new", windows))
            with watching() as sums:
                less.release(make_users(people))
                more.release(make_users(dict(items)))
            before, after = sums
            assert before.dtype == after.dtype == torch.int64
            found.append(math.sqrt(sum(int(x) ** 2 for x in (after - before))))
    bound = plan.clip_norm * plan.scale
    assert max(found) <= bound
    assert max(found) >= 0.99 * bound, "vacuous: nobody came near the bound"


@pytest.mark.parametrize("engine", ["auto", "ghost"])  # rows written out, and one by one
def test_one_person_moves_the_whole_numbers_by_c_scale_at_most(tmp_path: Path, engine: str) -> None:
    check_integer_sensitivity(tmp_path, engine)


@pytest.mark.attack
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ENGINES)
def test_integer_sensitivity_over_many_pairs(tmp_path: Path, engine: str) -> None:
    check_integer_sensitivity(tmp_path, engine, pairs=60)


@contextmanager
def federation(folder: Path, sites: int, min_sites: int, people: int, **changes: Any) -> Iterator[Any]:
    """A plan and real sites with `people` each that have accepted it, `folder` their home."""
    plan = fine(secagg_plan(sites, min_sites, **changes))
    found: dict[str, Site] = {}
    for name in names_of(sites):
        found[name] = open_site(folder, name, crowd(people))
    accept(plan, found.values())
    yield plan, found
    for site in found.values():
        site.ledger.close()


def check_noise(folder: Path) -> None:
    """A colluder who takes its share off the fewest sites' sum still faces the noise that is charged for.

    Nobody is drawn, so that the sum is the noise; the colluder knows what it added.
    """
    added: dict[str, Tensor] = {}
    real = SampledGaussian.share

    def noting(self: SampledGaussian, round: int) -> Tensor:
        added[self.site] = real(self, round)
        return added[self.site]

    with pytest.MonkeyPatch.context() as patch, federation(folder, 5, 4, people=0) as (plan, sites):
        patch.setattr(SampledGaussian, "share", noting)
        total = Attempt(plan, sites).run({"release": ["site004"]})
        left = total - added["site000"]
        event = sites["site000"].ledger.events()[0]
    std = float(left.double().std())
    claimed = event.noise_multiplier * plan.clip_norm * plan.scale
    chance = 5 / math.sqrt(2 * plan.dimension)
    assert claimed * (1 - chance) <= std <= plan.noise_std * plan.scale * (1 + chance)
    assert abs(float(left.double().mean())) <= 5 * std / math.sqrt(plan.dimension)


def test_without_the_colluders_share_the_whole_noise_is_left(tmp_path: Path) -> None:
    check_noise(tmp_path)


def test_the_unmasked_sum_is_the_sum_of_peoples_whole_numbers_and_the_shares(tmp_path: Path) -> None:
    with federation(tmp_path, 3, 3, people=6) as (plan, sites), watching() as sums:
        total = Attempt(plan, sites).run()
    assert torch.equal(total, torch.stack(sums).sum(dim=0)) and len(sums) == 3


def test_one_site_may_be_lost_at_any_phase_and_no_more(tmp_path: Path) -> None:
    names = names_of(5)
    with federation(tmp_path, 5, 4, people=2) as (plan, sites):
        for phase, lost in zip(PHASES, names, strict=True):
            with watching() as sums:
                total = Attempt(plan, sites).run({phase: [lost]})
            assert torch.equal(total, torch.stack(sums).sum(dim=0))
        with pytest.raises(FedmotionError, match="3 sites gave their shares, 4 are needed"):
            Attempt(plan, sites).run({"release": names[:1], "unmask": names[1:2]})


def check_hidden(folder: Path) -> None:
    """What leaves and what is kept are uniform words; of the vector under them nothing is on the disk."""
    site = Lone(folder, lone_plan())
    with watching() as sums:
        sent = site.release(crowd(6)).total
    words = sent.numpy().view(np.uint8)
    counts = np.bincount(words, minlength=256)
    expected = words.size / 256
    assert chi2.sf(float(((counts - expected) ** 2 / expected).sum()), 255) > 1e-6
    site.ledger.close()
    kept = site.path.read_bytes()
    assert sent.numpy()[:64].tobytes() in kept
    for plain in (sums[0].numpy(), sums[0].numpy().astype("<i4")):
        assert plain[:64].tobytes() not in kept


def test_what_is_sent_and_kept_is_uniform(tmp_path: Path) -> None:
    check_hidden(tmp_path)


def check_fresh(folder: Path) -> None:
    """Two attempts at one round are two vectors with noise of their own, and two charges."""
    site = Lone(folder, lone_plan(), seed=None)
    with watching() as sums:
        first, second = site.release(crowd(6)), site.release(crowd(6))
    assert not torch.equal(first.total, second.total)
    same = float((sums[0] == sums[1]).double().mean())
    assert same < 0.01, f"the same vector was masked for two rosters: {same:.0%} of it"
    assert sum(event.count for event in site.ledger.events()) == 2
    assert site.ledger.events()[0].noise_multiplier == site.plan.effective_noise_multiplier


def test_the_same_vector_is_never_sent_under_two_rosters(tmp_path: Path) -> None:
    check_fresh(tmp_path)


def refusal(act: Any) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.code


def test_the_same_query_gets_the_stored_bytes_and_no_other_gets_the_masks(tmp_path: Path) -> None:
    site = Lone(tmp_path, lone_plan())
    query, shares, _ = site.begin()
    sent = site.answer(query, shares).total
    assert torch.equal(site.answer(query, shares).total, sent)
    assert torch.equal(site.answer(query, []).total, sent)
    other = replace(query, state_digest=make_state(site.plan, query.round, 0.4).digest())
    assert refusal(lambda: site.answer(other, shares, scale=0.4)) is RefusalCode.STALE
    assert len(site.ledger.accounts.plan(site.plan.digest()).paid) == 1


def test_after_a_restart_stored_bytes_are_repeated_and_nothing_else_is_answered(tmp_path: Path) -> None:
    """Neither share of anybody is given by a site that does not know any more what it gave before."""
    site = Lone(tmp_path, lone_plan())
    query, shares, cohort = site.begin()
    sent = site.answer(query, shares).total
    site.restart()
    assert torch.equal(site.answer(query, shares).total, sent)
    asked = listed(cohort, names_of(2))
    assert refusal(lambda: site.gate.confirm(asked)) is RefusalCode.STALE
    assert refusal(lambda: site.gate.share(cohort)) is RefusalCode.STALE
    fresh, given, _ = site.begin()
    assert not torch.equal(site.answer(fresh, given).total, sent)
    assert len(site.ledger.accounts.plan(site.plan.digest()).paid) == 2


def test_a_crash_between_charge_and_store_costs_the_charge_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise OSError("no space left on device")

    site = Lone(tmp_path, lone_plan(rounds=2))
    query, shares, _ = site.begin()
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(Ledger, "store", crash)
        site.answer(query, shares)
    assert refusal(lambda: site.answer(query, shares)) is RefusalCode.STALE  # its masks are used up
    site.restart()
    assert refusal(lambda: site.answer(query, shares)) is RefusalCode.STALE
    site.release(crowd(3))
    assert len(site.ledger.accounts.plan(site.plan.digest()).paid) == 2
    assert refusal(lambda: site.release(crowd(3))) is RefusalCode.BUDGET_EXHAUSTED


def test_a_failure_while_computing_leaves_the_masks_and_the_charge_for_one_more_try(tmp_path: Path) -> None:
    site = Lone(tmp_path, lone_plan())
    query, shares, _ = site.begin()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr("client.gate.integer_sum", lambda *_: (_ for _ in ()).throw(MemoryError()))
        site.answer(query, shares)
    sent = site.answer(query, shares).total
    assert torch.equal(site.answer(query, shares).total, sent)
    assert len(site.ledger.accounts.plan(site.plan.digest()).paid) == 1


def test_shares_that_do_not_open_cost_nothing(tmp_path: Path) -> None:
    site = Lone(tmp_path, lone_plan())
    query, shares, _ = site.begin()
    spoilt = [replace(shares[0], sealed=bytes(82))]
    assert refusal(lambda: site.answer(query, spoilt)) is RefusalCode.MALFORMED
    assert refusal(lambda: site.answer(replace(query, cohort=""), shares)) is RefusalCode.STALE
    assert site.ledger.events() == []


def test_without_noise_there_is_no_share_and_no_promise(tmp_path: Path) -> None:
    plan = lone_plan(noise_multiplier=0.0)
    with watching() as sums, noting_sums() as plain:
        Lone(tmp_path, plan).release(crowd(6))
    assert torch.equal(sums[0], plain[0]) and plan.guarantee == "none"


def test_without_its_stewards_agreement_a_site_takes_no_further_step(tmp_path: Path) -> None:
    """Taken back between two steps, it holds from the next one on."""
    with federation(tmp_path, 2, 2, people=1) as (plan, sites):
        attempt = Attempt(plan, sites)
        attempt.advertise(sites)
        (sites["site000"].membership.folder / AGREED / f"{plan.digest()}.json").unlink()
        attempt.share(sites)
        attempt.release(["site000"])
        attempt.confirm(["site000"])
        attempt.unmask(["site000"])
        again = Attempt(plan, sites)
        again.advertise(sites)
        phases = [(phase, name) for phase, name, _ in attempt.refusals + again.refusals]
        codes = {refused.code for _, _, refused in attempt.refusals + again.refusals}
        assert phases == [(phase, "site000") for phase in (*PHASES[1:], PHASES[0])]
        assert codes == {RefusalCode.NOT_AGREED}
        assert sites["site000"].ledger.events() == [] and set(attempt.shared) == {"site001"}


def test_a_site_that_is_not_in_the_roster_accepts_no_such_plan(tmp_path: Path) -> None:
    stranger = open_site(tmp_path, "zoe", crowd(1), identity=None)
    plan = lone_plan()
    assert refusal(lambda: stranger.gate.accept(plan, {})) is RefusalCode.FOREIGN
    assert HERE != "zoe" and stranger.ledger.accounts.plans == {}
