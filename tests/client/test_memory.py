"""What units remember: kept over rounds and restarts, the same when a round is done again, never sent."""

from __future__ import annotations

import math
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from client.gate import LocalGate
from client.ledger import Ledger
from client.memory import Memory
from client.users import Users
from common.errors import InputError, Refusal, RefusalCode
from common.event import person_event
from common.methods.gs_wgan import GSWGAN
from common.noise import Source
from common.plan import Plan
from server.aggregate import Sum
from tests.attacks.test_non_interference import replies
from tests.recording import World, recording
from tests.small_methods import law_plan
from tests.small_site import POPULATION, ask, crowd, make_gate, make_state, make_users, new_ledger

SEED = 3


def quiet(**changes: Any) -> Plan:
    """Everybody, every round, without noise: what is released is the clipped sum."""
    return law_plan("gs_wgan", **{"noise_multiplier": 0.0, "sampling_rate": 1.0, **changes})


def opened(path: Path, plan: Plan, people: Users) -> LocalGate:
    """A gate on the ledger at `path`, as after a restart where it exists."""
    ledger = Ledger.open(path) if path.exists() else new_ledger(path, epsilon=math.inf, delta=0.5)
    gate = make_gate(ledger, people, seed=SEED, methods=("gs_wgan",), units=4)
    gate.accept(plan, {})
    return gate


def released(gate: LocalGate, plan: Plan, round: int) -> Tensor:
    state = make_state(plan, round)
    return gate.release(ask(plan, state), state).total


def played(path: Path, plan: Plan, rounds: int, people: Users) -> list[Tensor]:
    gate = opened(path, plan, people)
    found = [released(gate, plan, round) for round in range(1, rounds + 1)]
    gate.close()
    return found


def rows(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(Memory(path).path)) as connection:
        return connection.execute("SELECT unit, round, content FROM memories ORDER BY unit, round").fetchall()


def test_critics_go_on_from_round_to_round_and_over_a_restart(tmp_path: Path) -> None:
    plan = quiet()
    whole = played(tmp_path / "whole", plan, 3, crowd(3))
    played(tmp_path / "cut", plan, 2, crowd(3))
    gate = opened(tmp_path / "cut", plan, crowd(3))
    assert torch.equal(released(gate, plan, 3), whole[2])
    gate.close()
    fresh = opened(tmp_path / "fresh", plan, crowd(3))
    assert not torch.equal(released(fresh, plan, 3), whole[2]), "vacuous: critics remember nothing"
    fresh.close()


def test_a_round_computed_again_after_a_crash_does_not_advance_a_critic_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = quiet()
    whole = played(tmp_path / "whole", plan, 3, crowd(3))
    gate = opened(tmp_path / "torn", plan, crowd(3))
    released(gate, plan, 1)
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(Ledger, "store", lambda *_: (_ for _ in ()).throw(OSError("power")))
        released(gate, plan, 2)
    gate.close()
    again = opened(tmp_path / "torn", plan, crowd(3))
    assert torch.equal(released(again, plan, 2), whole[1])
    assert torch.equal(released(again, plan, 3), whole[2])
    again.close()


def test_a_repeat_under_central_trust_is_the_same_to_the_bit(tmp_path: Path) -> None:
    plan = quiet(trust="central")
    gate = opened(tmp_path / "north", plan, crowd(3))
    for round in (1, 2):
        first = released(gate, plan, round)
        assert torch.equal(released(gate, plan, round), first)
    gate.close()


def test_the_file_is_the_sites_alone_names_nobody_and_goes_with_the_last_round(tmp_path: Path) -> None:
    plan, path = quiet(rounds=3), tmp_path / "north"
    gate = opened(path, plan, make_users({"annabel": 2, "bertrand": 3}))
    for round in (1, 2):
        released(gate, plan, round)
    file = Memory(path).path
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not {b"annabel", b"bertrand"} & {n for n in (b"annabel", b"bertrand") if n in file.read_bytes()}
    assert [round for _, round, _ in rows(path)] == [1, 2, 1, 2]
    released(gate, plan, 3)
    assert rows(path) == []
    gate.close()


def test_a_memory_that_is_not_finite_is_dropped_and_the_unit_begins_anew(tmp_path: Path) -> None:
    plan = quiet()
    fresh = opened(tmp_path / "fresh", plan, crowd(1))
    expected = released(fresh, plan, 2)
    fresh.close()
    gate = opened(tmp_path / "north", plan, crowd(1))
    released(gate, plan, 1)
    with closing(sqlite3.connect(Memory(tmp_path / "north").path)) as connection, connection:
        broken = torch.full((len(rows(tmp_path / "north")[0][2]) // 4,), math.nan).numpy().tobytes()
        connection.execute("UPDATE memories SET content = ?", (broken,))
    assert torch.equal(released(gate, plan, 2), expected)
    gate.close()


@pytest.mark.parametrize("size", [0, 30])
def test_what_was_learned_from_a_person_who_withdrew_is_erased(tmp_path: Path, size: int) -> None:
    """And the shard that the person was in begins anew, without the person."""
    plan, path = quiet(shard_size=size), tmp_path / "north"
    gate = opened(path, plan, crowd(4))
    released(gate, plan, 1)
    with Ledger.beside(path) as beside:
        beside.withdraw("person2")
        Memory(path).forget(beside.tombstones().marks)
    assert len(rows(path)) == (3 if size == 0 else 0)
    silent = crowd(4)
    first, last = silent._starts[2:4].tolist()
    silent._raw[first:last] = math.nan
    other = opened(tmp_path / "other", plan, silent)
    if size == 0:
        released(other, plan, 1)
    assert float((released(gate, plan, 2) - released(other, plan, 2)).norm()) <= 1e-6
    gate.close()
    other.close()


MARKER = 314.15926


def test_a_marker_in_every_memory_is_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted where a critic keeps its count of steps and its moments, it comes out nowhere but there."""
    real: Callable[..., tuple[Tensor, Tensor]] = GSWGAN.answers

    def marked(self: GSWGAN, *given: Any) -> tuple[Tensor, Tensor]:
        vectors, memory = real(self, *given)
        return vectors, torch.full_like(memory, MARKER)

    monkeypatch.setattr(GSWGAN, "answers", marked)
    marker = torch.tensor(MARKER).numpy().tobytes()
    said = b"".join(replies(tmp_path / "site", law_plan("gs_wgan", rounds=3), lambda: crowd(5), seed=None))
    assert marker not in said
    kept = b"".join(file.read_bytes() for file in (tmp_path / "site").glob("ledger.memory"))
    assert marker in kept, "vacuous: nothing was remembered"


def test_control_a_method_that_answers_with_its_memory_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = torch.tensor(MARKER).numpy().tobytes()

    def telling(self: GSWGAN, parameters: Any, examples: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((len(memory), self.dimension), MARKER), torch.full_like(memory, MARKER)

    monkeypatch.setattr(GSWGAN, "answers", telling)
    plan = replace(quiet(rounds=2), clip_norm=1e6)
    world = World(tmp_path / "l", plan, SEED)
    assert marker in world.release(make_users({"ann": 2})).total.numpy().tobytes()


def standing(people: dict[str, int], new: int) -> Users:
    """All stand at one end, and `new` windows of one more person at the other."""
    users = make_users({**people, "new": new} if new else people)
    count = int(users._starts[len(people)])
    users._raw[:count] += 20
    users._raw[count:] -= 20
    return users


def test_one_person_moves_a_sum_over_shards_by_two_c_at_most_and_by_more_than_c(tmp_path: Path) -> None:
    """Removed from its shard, a person moves the shard's whole critic: the relation is replace."""
    plan, found = quiet(shard_size=POPULATION, rounds=12), list[float]()
    less, more = (World(tmp_path / name, plan, SEED) for name in ("less", "more"))
    for pair in range(12):
        people = {f"{pair}-{i}": 1 + i % 3 for i in range(pair % 4)}
        before = less.sum(standing(people, 0), pair + 1)
        after = more.sum(standing(people, 3 * pair + 3), pair + 1)
        found.append(float((after - before).norm()))
    less.ledger.close()
    more.ledger.close()
    assert max(found) <= 2 * plan.clip_norm
    assert max(found) > 1.2 * plan.clip_norm, "vacuous: nobody moved more than a person alone would"


def test_a_persons_removal_moves_nobody_to_another_shard() -> None:
    def dealt(users: Users) -> dict[str, int]:
        users._encoded = {"plan": (torch.zeros(len(users._labels), 2), None, None)}  # type: ignore[dict-item]
        shards = users.sharded(5, "plan")
        return {person: shard for shard in range(5) for person in shards.members(shard)}

    whole = dealt(crowd(30))
    fewer = dealt(make_users({f"person{i}": 1 + i % 5 for i in range(30) if i != 7}))
    assert fewer == {person: shard for person, shard in whole.items() if person != "person7"}
    assert len(set(whole.values())) == 5


def test_an_empty_shard_gives_nothing_and_every_other_answers(tmp_path: Path) -> None:
    plan = quiet(shard_size=1)
    with recording() as sums:
        World(tmp_path / "l", plan, SEED).release(make_users({"ann": 3}))
        World(tmp_path / "m", plan, SEED).release(crowd(0))
    assert 0 < float(sums[0].norm()) <= plan.clip_norm
    assert not bool(sums[1].any())


def test_shards_are_noised_and_charged_for_twice_c_and_divided_by_their_number() -> None:
    plan = law_plan("gs_wgan", sampling_rate=1.0, shard_size=8)
    assert plan.noise_std == plan.noise_multiplier * 2 * plan.clip_norm
    assert plan.event() == person_event(
        noise_multiplier=plan.noise_multiplier, sampling_rate=1.0, steps=1, sites_per_person=1, trust="local"
    )
    total = Sum(plan.dimension, populations=[POPULATION, 8], sites=["a", "b"])
    total.unmasked(torch.ones(plan.dimension, dtype=torch.float64))
    assert total.mean(plan, Source(0), 1)[0] == pytest.approx(1 / (math.ceil(POPULATION / 8) + 1))
    assert total.noise(plan) == pytest.approx(math.sqrt(2) * plan.noise_std / 4)


def test_shards_are_refused_where_there_is_no_memory_or_a_sample(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every shard answers every round"):
        law_plan("gs_wgan", sampling_rate=0.5, shard_size=8)
    plan = replace(law_plan("moments"), sampling_rate=1.0, shard_size=8)
    with new_ledger(tmp_path / "north") as ledger:
        with pytest.raises(Refusal) as refused:
            make_gate(ledger, crowd(2), methods=("moments",)).accept(plan, {})
        assert refused.value.code is RefusalCode.MALFORMED


def test_a_plan_of_an_older_version_has_no_shards() -> None:
    plan = law_plan("gs_wgan")
    older = plan.to_json().replace('"shard_size": 0, ', "")
    assert older != plan.to_json() and Plan.from_json(older) == plan
