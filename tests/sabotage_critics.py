"""Builds whose critics, or shards, lack one of their defences: see `tests.sabotage`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from torch import Tensor

import client.memory
import common.plan
from client.memory import Memory, Recollection
from common.methods.gs_wgan import GSWGAN
from common.plan import Plan

Patch = pytest.MonkeyPatch


def one_critic_for_all(patch: Patch) -> None:
    """Whoever was there last leaves a critic to everybody."""
    patch.setattr(Recollection, "_unit", lambda self, unit: self._marks.mark("unit"))


def critics_by_place(patch: Patch) -> None:
    """Critics are known by their place among the site's people: after one leaves, by another's."""
    patch.setattr(Recollection, "_unit", lambda self, unit: self._marks.mark(f"unit {unit}"))


def critics_that_meet(patch: Patch) -> None:
    """A method that hands each person of a chunk the critic of the next."""
    real: Callable[..., tuple[Tensor, Tensor]] = GSWGAN.answers

    def answers(self: GSWGAN, parameters: Any, examples: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        return real(self, parameters, examples, memory.roll(1, 0))

    patch.setattr(GSWGAN, "answers", answers)


def shards_by_number(patch: Patch) -> None:
    """A shard without one of its people keeps the critic that learned from all of them."""
    patch.setattr(Recollection, "_unit", lambda self, unit: self._marks.mark(self._units.names[unit]))


def critics_kept(patch: Patch) -> None:
    """A critic outlives its person's withdrawal."""
    patch.setattr(Memory, "forget", lambda *_: None)


def erased_once(patch: Patch) -> None:
    """Erased by the command alone: a round under way writes the critic down again."""
    real = Recollection.keep

    def keep(self: Recollection) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Memory, "forget", lambda *_: None)
            real(self)

    patch.setattr(Recollection, "keep", keep)


def critics_of_old_runs(patch: Patch) -> None:
    """Critics go with the last round alone, of which a site may never hear."""
    patch.setattr(Memory, "begin_plan", lambda *_: None)


def trained_twice(patch: Patch) -> None:
    """A round that is computed again goes on from what it wrote the first time."""
    patch.setattr(client.memory, "_LATEST", client.memory._LATEST.replace("round < ?", "round <= ?"))


def shards_for_c(patch: Patch) -> None:
    """A shard's person as if the person moved the sum by C, as one with a critic of their own does."""
    patch.setattr(common.plan, "relation_of", lambda _: "add_remove")


def drawn_shards(patch: Patch) -> None:
    """Shards that are drawn, and charged as people who are drawn."""
    patch.setattr(Plan, "_require_shards", lambda _: None)


CRITICS: Final[dict[str, Callable[[Patch], None]]] = {
    "one_critic_for_all": one_critic_for_all,
    "critics_by_place": critics_by_place,
    "critics_that_meet": critics_that_meet,
    "shards_by_number": shards_by_number,
    "critics_kept": critics_kept,
    "erased_once": erased_once,
    "critics_of_old_runs": critics_of_old_runs,
    "trained_twice": trained_twice,
    "shards_for_c": shards_for_c,
    "drawn_shards": drawn_shards,
}
