"""What a site remembers of a person is that person's alone, and goes when it should; shards cost 2 C."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from client.ledger import Ledger
from client.memory import Memory, Recollection
from client.users import Users
from common.errors import InputError
from common.plan import Plan
from common.roster import Member
from tests.client.test_memory import opened, quiet, released, rows
from tests.recording import World
from tests.small_methods import C, law_plan
from tests.small_site import crowd, make_users

PEOPLE = {"ann": 2, "bob": 3}


def after(path: Path, plan: Plan, first: Users, then: Users) -> Tensor:
    """The sum of round 2 over the people `then`, where round 1 was over those of `first`."""
    gate = opened(path, plan, first)
    released(gate, plan, 1)
    gate.close()
    gate = opened(path, plan, then)
    found = released(gate, plan, 2)
    gate.close()
    return found


def check_own_critic(folder: Path) -> None:
    """Whose critic a person's answer comes of: never of those who were there before, nor beside."""
    plan = quiet()
    for name, count in PEOPLE.items():
        alone = make_users({name: count})
        own = after(folder / f"{name}-own", plan, alone, alone)
        company = after(folder / f"{name}-company", plan, make_users(PEOPLE), alone)
        assert torch.equal(company, own), f"the others are in {name}'s critic"


def check_shard(folder: Path) -> None:
    """A shard without one of its people, whose data are simply gone, is another: it begins anew."""
    plan = quiet(shard_size=30)
    fewer = make_users({name: count for name, count in PEOPLE.items() if name != "bob"})
    found = after(folder / "left", plan, make_users(PEOPLE), fewer)
    fresh = opened(folder / "fresh", plan, fewer)
    assert torch.equal(released(fresh, plan, 2), found), "bob is in the critic of a shard without bob"
    fresh.close()


def withdrawing(path: Path, person: str) -> None:
    """What `fedmotion withdraw` does while the gate runs."""
    with Ledger.beside(path) as beside:
        beside.withdraw(person)
        Memory(path).forget(beside.tombstones().marks)


def check_withdrawal(folder: Path) -> None:
    """Nothing of a person is remembered once the command is done, whether a round was under way or not."""
    path, plan = folder / "north", quiet()
    gate = opened(path, plan, crowd(4))
    released(gate, plan, 1)
    withdrawing(path, "person2")
    assert len(rows(path)) == 3
    real = Recollection.keep

    def keep(self: Recollection) -> None:
        withdrawing(path, "person1")
        real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recollection, "keep", keep)
        released(gate, plan, 2)
    gate.close()
    assert len({unit for unit, *_ in rows(path)}) == 2, "a round under way wrote a critic down again"


def check_old_runs(folder: Path) -> None:
    """A run that ended without this site leaves nothing once the site accepts another."""
    path, plan = folder / "north", quiet()
    gate = opened(path, plan, crowd(4))
    released(gate, plan, 1)
    gate.close()
    opened(path, plan, crowd(4)).close()
    assert len(rows(path)) == 4, "the same plan, accepted again, goes on"
    opened(path, replace(plan, run_id="next"), crowd(4)).close()
    assert rows(path) == []


def check_once(folder: Path) -> None:
    """A round computed again, before its bytes were on disk, trains a critic once."""
    plan, people = quiet(), crowd(2)
    expected = after(folder / "whole", plan, people, people)
    gate = opened(folder / "torn", plan, people)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError):
        patch.setattr(Ledger, "store", lambda *_: (_ for _ in ()).throw(OSError("power")))
        released(gate, plan, 1)
    released(gate, plan, 1)
    assert torch.equal(released(gate, plan, 2), expected)
    gate.close()


def check_twice_c(folder: Path) -> None:
    """Noise over shards is z x 2 C: in what leaves under `local`, and in a site's share under `secagg`."""
    plan = law_plan("gs_wgan", sampling_rate=1.0, shard_size=8)
    total = World(folder / "l", plan, None).release(crowd(0)).total
    expected = plan.noise_multiplier * 2 * C
    assert abs(float(total.std()) / expected - 1) <= 5 / math.sqrt(2 * plan.dimension)
    roster = tuple(
        Member(site=name, key=f"{place:064x}", population=20, valid_until=2_000_000_000)
        for place, name in enumerate("abc", 1)
    )
    shared = replace(plan, trust="secagg", roster=roster, min_sites=3, scale=2**16, modulus_bits=64)
    assert math.sqrt(2 * shared.share_variance) == pytest.approx(expected * 2**16)
    assert shared.effective_noise_multiplier == pytest.approx(plan.noise_multiplier, rel=1e-3)


def check_no_draw(_: Path) -> None:
    try:
        law_plan("gs_wgan", sampling_rate=0.5, shard_size=8)
    except InputError as error:
        assert "every shard answers every round" in str(error)
    else:
        raise AssertionError("a plan that draws shards was made")


CHECKS: dict[str, Callable[[Path], Any]] = {
    "own critic": check_own_critic,
    "shard": check_shard,
    "withdrawal": check_withdrawal,
    "old runs": check_old_runs,
    "once": check_once,
    "twice c": check_twice_c,
    "no draw": check_no_draw,
}


@pytest.mark.parametrize("name", CHECKS)
def test_what_is_remembered_is_each_persons_own_and_costs_what_it_is_charged(
    tmp_path: Path, name: str
) -> None:
    CHECKS[name](tmp_path)


def test_control_critics_are_remembered_at_all(tmp_path: Path) -> None:
    plan, ann = quiet(), make_users({"ann": 2})
    fresh = opened(tmp_path / "fresh", plan, ann)
    assert not torch.equal(released(fresh, plan, 2), after(tmp_path / "kept", plan, ann, ann))
    fresh.close()
